"""What a model costs on this machine: time for a film, films a second, memory, the size of its file.

Models are timed in turns on the same films, so that what else the machine does falls on all of them alike: trust the
ratios, not the times.
"""

import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from fracture.core.errors import BadValue
from fracture.core.machine import cores
from fracture.inference.batch import open_sandbox, read_file, read_files
from fracture.inference.reader import Reader
from fracture.models.card import INT8

_ROUNDS = 3
"""How often all films are read for the rate of films; the median counts."""

_WARM_UP = 2
_PEAK = "import sys; from fracture.evaluation.benchmark.peak import main; main(*sys.argv[1:])"


def processor() -> str:
    """Name this machine's processor, or, where its system does not, its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def speeds(readers: Sequence[Reader], films: Sequence[Path]) -> list[dict[str, Any]]:
    """Time every model on the same films; give what `Speed` says, a model each. Who begins changes from turn to turn.

    A film's time is that from opening its file to its boxes. Starting the processes that decode is in no figure.
    """
    lone_s = np.empty((len(readers), len(films)))
    whole_s = np.empty((len(readers), _ROUNDS))
    with ExitStack() as stack:
        sandboxes = [stack.enter_context(open_sandbox(reader.card, cores())) for reader in readers]
        both = list(zip(readers, sandboxes, strict=True))
        for reader, sandbox in both:
            sandbox.wait()
            # All of them: the first film of a shape has its network compiled.
            list(read_files(reader, films, sandbox=sandbox))
            for film in films[:_WARM_UP]:
                read_file(reader, film, sandbox)
        for turn, film in enumerate(films):
            for which in _order(len(readers), turn):
                began = time.perf_counter()
                read_file(readers[which], film, sandboxes[which])
                lone_s[which, turn] = time.perf_counter() - began
        for turn in range(_ROUNDS):
            for which in _order(len(readers), turn):
                began = time.perf_counter()
                list(read_files(readers[which], films, sandbox=sandboxes[which]))
                whole_s[which, turn] = time.perf_counter() - began
    return [
        {
            "films": len(films),
            "p50_ms": 1000 * float(np.median(alone)),
            "p90_ms": 1000 * float(np.percentile(alone, 90)),
            "films_per_s": len(films) / float(np.median(whole)),
            "p50_over_first": float(np.median(alone / lone_s[0])),
            "films_per_s_over_first": float(np.median(whole_s[0] / whole)),
        }
        for alone, whole in zip(lone_s, whole_s, strict=True)
    ]


def costs(reader: Reader, weights: Path, films: Sequence[Path]) -> dict[str, Any]:
    """Give what `Cost` says of the network that a reader has open, ``weights`` being what it was opened from."""
    opened = _opened(reader)
    return {
        "peak_mb": _peak_mb(weights, films),
        "file_bytes": sum(file.stat().st_size for file in opened),
        "parameters": _parameters(opened[0]),
    }


def _order(count: int, turn: int) -> list[int]:
    return [(turn + place) % count for place in range(count)]


def _opened(reader: Reader) -> list[Path]:
    folder = reader.folder or Path()
    names = [name for name, content in reader.card.files.items() if content == reader.weights]
    return [folder / name for name in (INT8 if names[0] in INT8 else names[:1])]


def _parameters(network: Path) -> int | None:
    """Count the numbers that an ONNX file stores; None for another file, and where the package onnx is missing."""
    if network.suffix != ".onnx":
        return None
    try:
        import onnx
    except ModuleNotFoundError:
        return None
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE}
    stored = onnx.load(network, load_external_data=False).graph.initializer
    return sum(int(np.prod(one.dims)) for one in stored if one.data_type in floats)


def _peak_mb(weights: Path, films: Sequence[Path]) -> float | None:
    """Give the most memory of a process that holds this model alone and reads films one at a time; None off Linux."""
    paths = [str(path.absolute()) for path in (weights, *films)]
    command = [sys.executable, "-P", "-c", _PEAK, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    if done.returncode:
        why = (done.stderr.splitlines() or ["it said nothing"])[-1]
        raise BadValue(f"memory: expected a process that reads {len(films)} films, got one that failed: {why}")
    said = done.stdout.splitlines()[-1]
    return None if said == "unknown" else float(said)
