"""Fetch a raw dataset into its folder: downloaded and unpacked, or exactly what to do by hand.

A key is sent to the server it is for and goes nowhere else: what is raised, logged, shown or written names an address
without its query, and never the text of a network error, which can quote one.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import place, write_json
from fracture.data.acquire.archive import kind, unpack
from fracture.data.acquire.by_hand import found_by_hand, instructions
from fracture.data.acquire.download import PATIENCE, Patience, records
from fracture.data.acquire.figshare import from_figshare
from fracture.data.acquire.origins import origin_of
from fracture.data.acquire.roboflow import from_roboflow


@dataclass(frozen=True)
class Endpoints:
    """The two interfaces the sets are fetched through."""

    figshare: str = "https://api.figshare.com/v2"
    roboflow: str = "https://api.roboflow.com"


ENDPOINTS = Endpoints()


def acquire(
    source: str,
    root: Path,
    *,
    roboflow_key: str | None = None,
    endpoints: Endpoints = ENDPOINTS,
    patience: Patience = PATIENCE,
) -> Path:
    """Give the folder of a raw dataset, fetched if it is not there; a folder with anything in it is taken as it is.

    Archives stay in ``root/downloads/<folder>`` with a record of what they are; ``<folder>.acquired.json`` beside the
    tree says what it was made of. Roboflow's key is ``roboflow_key``, else ROBOFLOW_API_KEY. Raises MissingData, with
    the steps to take by hand, where key, network or agreement is missing; BadValue where what came is not what should.
    """
    origin = origin_of(source)
    tree = root / origin.folder
    if tree.is_dir() and any(tree.iterdir()):
        return tree
    store = root / "downloads" / origin.folder
    try:
        if origin.figshare is not None:
            files = from_figshare(origin.figshare, store, endpoints.figshare, patience)
        elif origin.roboflow is not None:
            key = (roboflow_key or os.environ.get("ROBOFLOW_API_KEY") or "").strip()
            files = from_roboflow(origin.roboflow, key, store, endpoints.roboflow, patience)
        else:
            files = found_by_hand(store)
    except MissingData as error:
        raise MissingData(f"{error}\n{instructions(source, root)}") from None
    _put_together(files, tree)
    made_of = {file.name: records(store).get(file.name, {"size": file.stat().st_size}) for file in files}
    about = {"source": source, "page": origin.page, "licence": origin.licence, "files": made_of}
    write_json(root / f"{origin.folder}.acquired.json", about)
    return tree


def _put_together(files: Sequence[Path], tree: Path) -> None:
    """Unpack a set's archives and put the whole tree in place in one step.

    One archive is the tree; of several files each archive becomes a folder of its name. A lone folder at the top of an
    archive is left out, whatever it is called.
    """
    store = files[0].parent
    whole = store / ".tree"
    if len(files) == 1:
        whole = _unpacked(files[0])
    else:
        targets = [whole / (file.stem if kind(file) else file.name) for file in files]
        if len({str(target).casefold() for target in targets}) < len(targets):
            raise BadValue(f"expected files that unpack to different names, got {[file.name for file in files]}")
        whole.mkdir(exist_ok=True)
        for file, target in zip(files, targets, strict=True):
            if target.exists():
                continue  # moved here whole by a run that was killed later
            if kind(file):
                os.replace(_unpacked(file), target)
            else:
                place(file, target, copy=True)
    if tree.is_dir():
        tree.rmdir()
    os.replace(whole, tree)
    shutil.rmtree(store / ".unpacked", ignore_errors=True)


def _unpacked(file: Path) -> Path:
    out = file.parent / ".unpacked" / file.stem
    unpack(file, out)
    inside = list(out.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else out
