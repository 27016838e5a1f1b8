"""Figshare: every file of an article, each against the size and the sum that it states."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fracture.core.errors import BadValue, MissingData
from fracture.core.http import RequestFailed, ask, shown
from fracture.data.acquire.archive import safe_parts
from fracture.data.acquire.download import RECORDS, Patience, download


def from_figshare(article: int, store: Path, base: str, patience: Patience) -> list[Path]:
    """Download the files of an article. Raises MissingData where they cannot be had, BadValue where they are others."""
    url = f"{base}/articles/{article}/files?" + urlencode({"page": 1, "page_size": 500})
    where = shown(url)
    try:
        listed = [
            (str(file["name"]), int(file["id"]), str(file["download_url"]), int(file["size"]), _md5(file))
            for file in json.loads(ask(url, patience.for_lists()).body)
        ]
    except RequestFailed as error:
        raise MissingData(str(error)) from None
    except (LookupError, TypeError, ValueError, RecursionError):
        raise MissingData(f"{where}: expected a list of files, got another answer") from None
    if not listed:
        raise MissingData(f"{where}: expected files, got an empty list")
    files = []
    for name, number, link, size, md5 in listed:
        if safe_parts(name) != (name,) or name.casefold() == RECORDS:
            raise BadValue(f"{where}: expected plain file names, got {name!r}")
        try:
            file = download(link, store / name, md5=md5, size=size, patience=patience)
        except MissingData:
            # The listed links lead to a host that at times asks for a browser (202 or 403); the interface itself has
            # the same file.
            again = f"{base}/file/download/{number}"
            file = download(again, store / name, md5=md5, size=size, patience=patience)
        files.append(file)
    return files


def _md5(file: Mapping[str, Any]) -> str | None:
    md5 = file.get("computed_md5") or file.get("supplied_md5")
    return str(md5) if md5 else None
