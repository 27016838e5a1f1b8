"""Roboflow: its own package finds the export, in a process of its own; the download is ours.

The package puts the key into addresses, which the libraries below it log and quote in errors; it waits without a limit,
and reads settings from the home folder. So it gets a process that has no home, no other secret and nothing to write to.
The key comes to it by a pipe. Time and answer are bounded, and what it says is cleared of the key before it is used.
"""

import base64
import json
import math
import os
import re
import select
import signal
import site
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, quote_plus

from fracture.core.errors import BadValue, MissingData
from fracture.data.acquire.download import Patience, download

SAID_MAX = 1 << 16
"""The most bytes the process may answer."""

_LOOK_S = 0.2
"""How long is waited for a word of the process before it is looked at again."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
# What finds the interpreter, its libraries and the way out. Anything else in the environment may be a key.
_ENVIRONMENT = (
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *(*_PROXIES, *map(str.upper, _PROXIES)),
)
_CODE = "from fracture.data.acquire.roboflow_child import main; main()"


def from_roboflow(project: str, key: str, store: Path, base: str, patience: Patience) -> list[Path]:
    """Download the newest version of a project as a YOLOv8 export. Raises MissingData, BadValue."""
    if not key:
        raise MissingData("no Roboflow key: expected one in ROBOFLOW_API_KEY or as an argument")
    found = _found(project, key, base, patience)
    if "refused" in found:
        kind = BadValue if found["refused"] == BadValue.code else MissingData
        raise kind(str(found.get("why")))
    name = f"{project.rpartition('/')[2].replace(':', '')}-v{int(found['version'])}.zip"
    return [download(str(found["link"]), store / name, patience=patience)]


def cleared(text: str, key: str) -> str:
    """Put stars for a key, in whatever form it stands in a text: plain, quoted for an address or JSON, in base64."""
    forms = {key, quote(key), quote(key, safe=""), quote_plus(key), json.dumps(key)[1:-1]}
    for before in range(3):  # the letters that stand for the key alone, at each of the places where it may begin
        letters = base64.b64encode(bytes(before) + key.encode()).decode()
        forms.add(letters[math.ceil(before * 4 / 3) : (before + len(key.encode())) * 4 // 3])
    forms |= {form.translate(str.maketrans("+/", "-_")) for form in forms}
    longest_first = sorted(filter(None, forms), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), "***", text, flags=re.IGNORECASE)


def _found(project: str, key: str, base: str, patience: Patience) -> dict[str, Any]:
    """Ask the process for the newest version and its link, or why there is none."""
    task = json.dumps({"project": project, "key": key, "base": base, "patience": asdict(patience)})
    limit_s = 2 * patience.listing_s + patience.polls * patience.poll_s
    with TemporaryDirectory(prefix="roboflow-") as home:
        said = _say(task, _environment(home, base), home, limit_s)
    try:
        found = json.loads(said)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not ("refused" in found or {"version", "link"} <= found.keys()):
        raise MissingData("the roboflow package gave no answer that can be read, or none in time; run this again")
    return {name: cleared(value, key) if isinstance(value, str) else value for name, value in found.items()}


def _say(task: str, environment: dict[str, str], home: str, limit_s: float) -> str:
    """Give what the process answers until it ends or the time is up.

    It leads a session of its own: what it starts holds the same pipe, and is ended with it.
    """
    until = time.monotonic() + limit_s
    with subprocess.Popen(  # noqa: S603 - our own interpreter and our own words
        [sys.executable, "-P", "-c", _CODE],
        env=environment,
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # nothing there that would not have to be cleared first
        bufsize=0,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(OSError), process.stdin:
                process.stdin.write(task.encode())  # less than a pipe holds: this does not wait
            return _answer(process, process.stdout.fileno(), until).decode(errors="replace")
        finally:
            with suppress(ProcessLookupError, PermissionError):  # none of them is left
                os.killpg(process.pid, signal.SIGKILL)


def _answer(process: subprocess.Popen[bytes], pipe: int, until: float) -> bytes:
    """Read what a process says, up to SAID_MAX bytes, until it ends or the time is up.

    The pipe alone does not tell that it ended: what it started may hold it open.
    """
    said = b""
    while len(said) < SAID_MAX and time.monotonic() < until:
        ended = process.poll() is not None
        if select.select([pipe], [], [], 0 if ended else min(_LOOK_S, max(until - time.monotonic(), 0)))[0]:
            piece = os.read(pipe, SAID_MAX - len(said))
            if not piece:
                break
            said += piece
        elif ended:
            break
    return said


def _environment(home: str, base: str) -> dict[str, str]:
    paths = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | {
        "API_URL": base,
        "HOME": home,
        "TMPDIR": home,
        "ROBOFLOW_CONFIG_DIR": str(Path(home, "none.json")),
        "PYTHON_DOTENV_DISABLED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([*paths, str(Path(__file__).parents[3])]),
        "PYTHONUSERBASE": site.getuserbase(),
    }
