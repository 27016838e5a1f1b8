"""The process that asks Roboflow's own package for an export, see `fracture.data.acquire.roboflow`.

The package knows the addresses and what answers mean. Its requests go through our client, which bounds them and keeps
the key out of errors and logs.
"""

import json
import os
import resource
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from fracture.core.errors import FractureError, MissingData
from fracture.core.http import Bounds, RequestFailed, ask
from fracture.data.acquire.download import Patience

FORMAT = "yolov8"

_WHY_MAX = 500


def main() -> None:
    """Read a task from stdin, write what was found or why nothing was to stdout, both as JSON."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # not a byte into any file
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold the key
    task = json.load(sys.stdin)
    found: dict[str, object]
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        try:
            found = _find(task["project"], task["key"], task["base"], Patience(**task["patience"]))
        except FractureError as error:
            found = {"refused": error.code, "why": str(error)}
        except RequestFailed as error:
            found = {"refused": MissingData.code, "why": str(error)}
        except ModuleNotFoundError as error:
            why = f"needs {error.name}, which is not installed: pip install -r requirements.txt"
            found = {"refused": MissingData.code, "why": why}
        except Exception as error:  # noqa: BLE001 - whatever the package raises, the other side clears it of the key
            why = f"the roboflow package failed: {type(error).__name__}: {error}"
            found = {"refused": MissingData.code, "why": why[:_WHY_MAX]}
    json.dump(found, sys.stdout)


@dataclass(frozen=True)
class _Reply:
    """Stands in for a reply of ``requests``. Its ``text`` is asked for only where it would be quoted."""

    status_code: int
    body: bytes = field(repr=False)
    text: str = "another answer than expected"

    def json(self) -> Any:
        return json.loads(self.body)


def _find(project: str, key: str, base: str, patience: Patience) -> dict[str, object]:
    """Give the newest finished version of a project, and the link to its export, waited for if need be."""
    from roboflow.adapters import rfapi
    from roboflow.util import http

    bounds = patience.for_lists()
    http.get = lambda url, **_: _get(url, bounds)
    workspace, _, name = project.partition("/")
    key = quote_plus(key)  # the package puts it into addresses as it is
    try:
        about = rfapi.get_project(key, workspace, name)
        made = [version for version in about["versions"] if not version.get("generating")]
        version = max(int(str(version["id"]).rpartition("/")[2]) for version in made)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, rfapi.RoboflowError):
        raise MissingData(f"{base}/{project}: expected a list of versions, got another answer") from None
    where = f"{base}/{project}/{version}/{FORMAT}"
    for _ in range(patience.polls):
        try:
            answer = rfapi.get_version_export(key, workspace, name, str(version), FORMAT)
        except (AttributeError, rfapi.RoboflowError):
            raise MissingData(f"{where}: expected JSON with a link or a progress, got another answer") from None
        export = answer.get("export") if isinstance(answer, dict) else None
        if isinstance(export, dict) and isinstance(export.get("link"), str):
            return {"version": version, "link": export["link"]}
        if not isinstance(answer, dict) or "progress" not in answer:
            raise MissingData(f"{where}: expected a link or a progress, got neither")
        time.sleep(patience.poll_s)
    raise MissingData(f"{where}: the export was not ready in time; run this again")


def _get(url: str, bounds: Bounds) -> _Reply:
    return _Reply(*ask(url, bounds, wanted=(200, 202)))
