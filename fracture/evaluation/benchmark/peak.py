"""The process whose memory is measured: it holds one model and reads films, and has nothing else in it.

A system's own record of the most that a process held (``ru_maxrss``) begins with what the process that started it
holds; Linux counts ``VmHWM`` anew for every program.
"""

from pathlib import Path

from fracture.inference.batch import open_sandbox, read_file
from fracture.inference.reader import Reader

_STATUS = Path("/proc/self/status")


def main(weights: str, *films: str) -> None:
    """Read films with a model and print the most MB that this process held; "unknown" where no system tells.

    The processes that decode are not counted: they are the same for every model.
    """
    reader = Reader.load(Path(weights))
    with open_sandbox(reader.card, 1) as sandbox:
        for film in films:
            read_file(reader, Path(film), sandbox)
    lines = _STATUS.read_text(encoding="utf-8").splitlines() if _STATUS.is_file() else []
    peak_kb = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    print(peak_kb[0] / 1000 if peak_kb else "unknown")
