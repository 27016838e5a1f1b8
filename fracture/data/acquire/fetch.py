"""Fetch the raw datasets: resumable downloads with checksums, unpacked safely, or exactly what to do by hand.

Roboflow is asked over its REST interface, not through its ``roboflow`` package: that one puts the key into URLs which
``requests`` quotes in exceptions and ``urllib3`` logs, prints the export's secret link when a download fails, waits
without a time limit, cannot resume, and unpacks with no limits. The answers are the same; the key stays here.

A key is sent to the server it is for and goes nowhere else: what is raised, logged, shown or written names an address
without its query, and never the text of a network error, which can quote one.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, TypeVar, cast
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from tqdm import tqdm

from fracture import __version__
from fracture.core.errors import BadValue, MissingData
from fracture.core.files import place, write_json
from fracture.data.acquire.archive import kind, safe_parts, unpack

DOWNLOADS = "downloads.json"
CAP_BYTES = 80 << 30
FORMAT = "yolov8"

_CHUNK = 1 << 18
_JSON_CAP = 16 << 20
_OWN_HEADERS = {"User-agent", "Range", "If-range"}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Origin:
    """Where a dataset comes from, under which licence, and what its folder holds once it is there.

    Exactly one of ``figshare`` (an article) and ``roboflow`` (workspace/project) names the way to fetch it; a set with
    neither is fetched by hand, after ``steps``.
    """

    title: str
    page: str
    licence: str
    size_gb: float
    folder: str
    holds: str
    steps: tuple[str, ...]
    figshare: int | None = None
    roboflow: str | None = None


_EXPORT = "train/, valid/ and test/, each with images/ and labels/, and data.yaml"
_PKDARABI = "pkdarabi/bone-fracture-detection-computer-vision-project"
_UNIVERSE_STEPS = ("sign in (free) and open the page", "Download Dataset, format YOLOv8, as a zip")

ORIGINS: Mapping[str, Origin] = MappingProxyType(
    {
        "fracatlas": Origin(
            title="FracAtlas",
            page="https://figshare.com/articles/dataset/The_dataset/22363012",
            licence="CC BY 4.0",
            size_gb=0.34,
            folder="FracAtlas",
            holds="dataset.csv, images/, Annotations/ and Utilities/",
            steps=("download FracAtlas.zip",),
            figshare=22363012,
        ),
        "grazpedwri": Origin(
            title="GRAZPEDWRI-DX",
            page="https://figshare.com/articles/dataset/GRAZPEDWRI-DX/14825193",
            licence="CC BY 4.0",
            size_gb=15.2,
            folder="GRAZPEDWRI-DX",
            holds="dataset.csv, folder_structure/ and images_part1/ to images_part4/, one folder per zip",
            steps=("download dataset.csv, folder_structure.zip and images_part1.zip to images_part4.zip",),
            figshare=14825193,
        ),
        "humerus": Origin(
            title="HUMERUS",
            page="https://universe.roboflow.com/new-workspace-ozkjr/humerus-ghx7b",
            licence="licence as its page states",
            size_gb=0.1,
            folder="HUMERUS",
            holds=_EXPORT,
            steps=_UNIVERSE_STEPS,
            roboflow="new-workspace-ozkjr/humerus-ghx7b",
        ),
        "hip": Origin(
            title="proximal femur fracture",
            page="https://universe.roboflow.com/thesisyolo-v8/proximal-femur-fracture",
            licence="licence as its page states",
            size_gb=0.1,
            folder="HIP",
            holds=_EXPORT,
            steps=_UNIVERSE_STEPS,
            roboflow="thesisyolo-v8/proximal-femur-fracture",
        ),
        "mura": Origin(
            title="MURA v1.1",
            page="https://aimi.stanford.edu/datasets/mura-msk-xrays",
            licence="Stanford University research use agreement, no redistribution",
            size_gb=3.3,
            folder="MURA-v1.1",
            holds="train/, valid/, train_labeled_studies.csv and valid_labeled_studies.csv",
            steps=("register and accept the research use agreement yourself", "download MURA-v1.1.zip"),
        ),
        "pkdarabi": Origin(
            title="bone fracture detection (pkdarabi), an external test set",
            page=f"https://www.kaggle.com/datasets/{_PKDARABI}",
            licence="licence as its page states",
            size_gb=0.2,
            folder="PKDARABI",
            holds="the folders of the Kaggle zip",
            # Kaggle's own client keeps its own key.
            steps=(f"download the zip from that page, or: kaggle datasets download {_PKDARABI}",),
        ),
    }
)


@dataclass(frozen=True)
class Endpoints:
    """The two interfaces the sets are fetched through."""

    figshare: str = "https://api.figshare.com/v2"
    roboflow: str = "https://api.roboflow.com"


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for, in seconds.

    ``tries`` counts attempts since the last that brought something new, that one included. The wait between them
    starts at ``backoff_s``, doubles, and heeds Retry-After, never longer than ``longest_s``. ``polls`` times ``poll_s``
    is what an export may take.
    """

    tries: int = 5
    backoff_s: float = 1.0
    longest_s: float = 120.0
    timeout_s: float = 60.0
    polls: int = 360
    poll_s: float = 5.0


ENDPOINTS = Endpoints()
PATIENCE = Patience()


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
    origin = _origin(source)
    tree = root / origin.folder
    if tree.is_dir() and any(tree.iterdir()):
        return tree
    store = root / "downloads" / origin.folder
    try:
        if origin.figshare is not None:
            files = _from_figshare(origin.figshare, store, endpoints.figshare, patience)
        elif origin.roboflow is not None:
            key = (roboflow_key or os.environ.get("ROBOFLOW_API_KEY") or "").strip()
            files = _from_roboflow(origin.roboflow, key, store, endpoints.roboflow, patience)
        else:
            files = _by_hand(store)
    except MissingData as error:
        raise MissingData(f"{error}\n{instructions(source, root)}") from None
    _put_together(files, tree)
    made_of = {file.name: _records(store).get(file.name, {"size": file.stat().st_size}) for file in files}
    about = {"source": source, "page": origin.page, "licence": origin.licence, "files": made_of}
    write_json(root / f"{origin.folder}.acquired.json", about)
    return tree


def instructions(source: str, root: Path) -> str:
    """Say where a dataset is, what to download there and where to put it. Raises BadValue for an unknown source."""
    origin = _origin(source)
    tree, store = root / origin.folder, root / "downloads" / origin.folder
    steps = [*origin.steps, f"unpack so that {tree} holds {origin.holds}"]
    lines = [
        f"{origin.title}, {origin.licence}, about {origin.size_gb:g} GB: {origin.page}",
        *(f"  {number}. {step}" for number, step in enumerate(steps, 1)),
    ]
    if origin.roboflow is not None:
        lines.append(
            "  or give a Roboflow key (free account, Settings, API Keys) in ROBOFLOW_API_KEY and run this again"
        )
    elif origin.figshare is None:
        lines.append(f"  or put the zip into {store} and run this again")
    return "\n".join(lines)


def _origin(source: str) -> Origin:
    if source not in ORIGINS:
        raise BadValue(f"expected a source out of {', '.join(sorted(ORIGINS))}, got {source!r}")
    return ORIGINS[source]


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    size: int | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    cap_bytes: int = CAP_BYTES,
    patience: Patience = PATIENCE,
) -> Path:
    """Fetch a file over http(s), going on where an earlier try or run was cut off; it gets its name once it is right.

    Until then it is ``target.partial``, beside a small JSON that tells whether the remote file is still the same one;
    ``downloads.json`` in the folder records address, size, sums and date. ``headers`` may hold secrets: a redirect
    to another host does not get them. Raises MissingData where the file cannot be had, BadValue where it is not the
    one expected or is larger than ``cap_bytes`` or the disk.
    """
    shown = _shown(url)
    expected = {"sha256": sha256 and sha256.lower(), "md5": md5 and md5.lower(), "size": size}
    expected = {fact: value for fact, value in expected.items() if value is not None}
    if target.is_file():
        known = _records(target.parent).get(target.name, {})
        if known.get("size") != target.stat().st_size or not expected.items() <= known.items():
            facts = _facts(target)
            if not expected.items() <= facts.items():
                raise BadValue(f"{target} is there already: expected {expected}, got {facts}; move it away")
            _record(target, shown, facts)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    fetch = _Fetch(url, partial, dict(headers), size, cap_bytes, patience.timeout_s)
    _patiently(fetch, patience, fetch.kept)
    facts = _facts(partial)
    if not expected.items() <= facts.items():
        fetch.forget()
        raise BadValue(f"{shown}: expected {expected}, got {facts}; it is thrown away")
    os.replace(partial, target)
    fetch.forget()
    _record(target, shown, facts)
    return target


class _Again(Exception):
    """What came may be better the next time."""

    def __init__(self, why: str, after_s: float = 0) -> None:
        super().__init__(why)
        self.after_s = after_s


class _Fetch:
    """One attempt at a time to bring a partial file to its end."""

    def __init__(
        self, url: str, partial: Path, headers: dict[str, str], size: int | None, cap_bytes: int, timeout_s: float
    ) -> None:
        self._url, self._partial, self._headers = url, partial, headers
        self._size, self._cap_bytes, self._timeout_s = size, cap_bytes, timeout_s
        self._note = partial.with_name(partial.name + ".json")

    def kept(self) -> int:
        """Give the bytes there are so far."""
        return self._partial.stat().st_size if self._partial.is_file() else 0

    def forget(self) -> None:
        """Drop what is kept, so that the next attempt starts at the first byte."""
        self._partial.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def __call__(self) -> None:
        """Ask for what is missing and write it down as it comes; raise _Again if some is missing still."""
        validator = _read_json(self._note).get("validator")
        have = self.kept() if validator else 0
        ranges = {"Range": f"bytes={have}-", "If-Range": str(validator)} if have else {}
        with _open(self._url, self._headers | ranges, self._timeout_s, (200, 206, 416)) as answer:
            if answer.status == 416:
                if have and answer.headers.get("Content-Range") == f"bytes */{have}":
                    return  # all of it was there when an earlier run ended
                self.forget()
                raise _Again(f"{_shown(self._url)} has not what is missing")
            total: int | None
            if answer.status == 206:
                total = _rest(answer.headers, have)
                if total is None or _validator(answer.headers) not in {None, validator}:
                    self.forget()
                    raise _Again(f"{_shown(self._url)} changed between two attempts")
            else:
                have, total = 0, _length(answer.headers)
            self._check(total, have)
            self._stream(answer, have, total if total is not None else self._size)

    def _check(self, total: int | None, have: int) -> None:
        if total is None:
            return
        if self._size is not None and total != self._size:
            raise BadValue(f"{_shown(self._url)}: expected {self._size:,} bytes, the server announces {total:,}")
        if total > self._cap_bytes:
            raise BadValue(f"{_shown(self._url)}: expected at most {self._cap_bytes:,} bytes, got {total:,} announced")
        free = shutil.disk_usage(self._partial.parent).free
        if total - have > free:
            raise BadValue(f"expected {total - have:,} free bytes for {self._partial.name}, the disk has {free:,}")

    def _stream(self, answer: HTTPResponse, have: int, total: int | None) -> None:
        most = self._cap_bytes if total is None else total
        title = self._partial.name.removesuffix(".partial")
        with (
            self._partial.open("ab" if have else "wb") as file,
            tqdm(total=total, initial=have, desc=title, unit="B", unit_scale=True) as bar,
        ):
            if not have:  # only now: the note must never speak for bytes of another file
                write_json(self._note, {"validator": _validator(answer.headers)})
            while chunk := _read(answer, self._url, _CHUNK):
                have += len(chunk)
                if have > most:
                    self.forget()
                    raise BadValue(f"{_shown(self._url)}: expected at most {most:,} bytes, got more")
                file.write(chunk)
                bar.update(len(chunk))
        if total is not None and have < total:
            raise _Again(f"{_shown(self._url)} broke off after {have:,} of {total:,} bytes")


def _facts(path: Path) -> dict[str, Any]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    return {"size": path.stat().st_size, "sha256": sha256.hexdigest(), "md5": md5.hexdigest()}


def _read_json(path: Path) -> dict[str, Any]:
    """Read a small table of ours; one that is missing or was spoilt says nothing."""
    try:
        table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        table = {}
    return table if isinstance(table, dict) else {}


def _records(folder: Path) -> dict[str, Any]:
    return {name: known for name, known in _read_json(folder / DOWNLOADS).items() if isinstance(known, dict)}


def _record(target: Path, shown: str, facts: dict[str, Any]) -> None:
    entry = {"url": shown, **facts, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    write_json(target.parent / DOWNLOADS, _records(target.parent) | {target.name: entry})


class _Redirects(HTTPRedirectHandler):
    """Follow to http and https only, and take nothing of the caller's to another host."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Give the next request, None if there must be none."""
        there = urlsplit(newurl)
        if there.scheme not in {"http", "https"}:
            return None
        follow = super().redirect_request(req, fp, code, msg, headers, newurl)
        here = urlsplit(req.full_url)
        if follow is not None and (there.scheme, there.netloc) != (here.scheme, here.netloc):
            follow.headers = {name: value for name, value in follow.headers.items() if name in _OWN_HEADERS}
        return follow


# Not urllib's own opener, which reads file:, ftp: and data: too.
_OPENER = OpenerDirector()
for _handler in (ProxyHandler, HTTPHandler, HTTPSHandler, HTTPDefaultErrorHandler, _Redirects, HTTPErrorProcessor):
    _OPENER.add_handler(_handler())


def _shown(url: str) -> str:
    """Give an address fit to be seen: without query, fragment and user. Raises BadValue if it is none of ours."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise BadValue("expected an http or https address, got one that cannot be read") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise BadValue(f"expected an http or https address without user and password, got scheme {parts.scheme!r}")
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _open(url: str, headers: Mapping[str, str], timeout_s: float, wanted: Sequence[int]) -> HTTPResponse:
    """Ask once. Raises _Again for what may pass, MissingData for what will not."""
    shown = _shown(url)
    answer: Any = None
    why = ""
    try:
        named = {"User-Agent": f"fracture/{__version__}", **headers}
        request = Request(url, headers=named)  # noqa: S310 - _shown refused all but http and https
        answer = _OPENER.open(request, timeout=timeout_s)
    except HTTPError as error:
        answer = error
    except (OSError, HTTPException, ValueError) as error:
        why = type(getattr(error, "reason", error)).__name__  # never the text: it can quote the address
    if answer is None:
        raise _Again(f"{shown} gave no answer ({why})")
    if answer.status in wanted:
        return cast(HTTPResponse, answer)
    status, after_s = answer.status, _retry_after(answer.headers.get("Retry-After"))
    answer.close()
    if status in {408, 429} or status >= 500:
        raise _Again(f"{shown} answered {status}", after_s)
    raise MissingData(f"{shown} answered {status}{' and leads elsewhere' if 300 <= status < 400 else ''}")


def _read(answer: HTTPResponse, url: str, size: int) -> bytes:
    try:
        return answer.read1(size)
    except (OSError, HTTPException, ValueError) as error:
        raise _Again(f"{_shown(url)} broke off ({type(error).__name__})") from None


def _patiently(work: Callable[[], Result], patience: Patience, kept: Callable[[], int] = lambda: 0) -> Result:
    """Try until it is done, or until so many tries in a row brought nothing: MissingData with the last reason."""
    most, tries = kept(), 0
    while True:
        try:
            return work()
        except _Again as again:
            why, after_s = str(again), again.after_s
        # Against the most there ever was: a server that starts over each time and breaks off brings nothing.
        tries = tries + 1 if kept() <= most else 1
        most = max(most, kept())
        if tries >= patience.tries:
            raise MissingData(f"{why}; given up after {tries} tries")
        time.sleep(min(max(after_s, patience.backoff_s * 2 ** (tries - 1)), patience.longest_s))


def _retry_after(value: str | None) -> float:
    if not value:
        return 0.0
    if value.isdecimal():
        return float(value)
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _length(headers: HTTPMessage) -> int | None:
    value = headers.get("Content-Length", "")
    return int(value) if value.isdecimal() else None


def _rest(headers: HTTPMessage, have: int) -> int | None:
    """Give the whole size out of a Content-Range that starts where wanted, None for any other."""
    unit, _, span = headers.get("Content-Range", "").partition(" ")
    where, _, total = span.partition("/")
    if unit != "bytes" or where.split("-")[0] != str(have) or not total.isdecimal():
        return None
    return int(total)


def _validator(headers: HTTPMessage) -> str | None:
    """Give what If-Range may hold: a strong ETag, else the date."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _json(url: str, patience: Patience) -> Any:
    """Ask an interface for its JSON. Raises MissingData for any other answer."""

    def ask() -> bytes:
        with _open(url, {}, patience.timeout_s, (200, 202)) as answer:
            body = b""
            while len(body) <= _JSON_CAP and (chunk := _read(answer, url, _CHUNK)):
                body += chunk
            return body

    try:
        return json.loads(_patiently(ask, patience))
    except (ValueError, RecursionError):
        raise MissingData(f"{_shown(url)}: expected JSON, got something else") from None


def _from_figshare(article: int, store: Path, base: str, patience: Patience) -> list[Path]:
    """Download every file of an article, each against the size and md5 that figshare states."""
    url = f"{base}/articles/{article}/files?" + urlencode({"page": 1, "page_size": 500})
    try:
        listed = [
            (str(file["name"]), int(file["id"]), str(file["download_url"]), int(file["size"]), _md5(file))
            for file in _json(url, patience)
        ]
    except (LookupError, TypeError, ValueError):
        raise MissingData(f"{_shown(url)}: expected a list of files, got another answer") from None
    if not listed:
        raise MissingData(f"{_shown(url)}: expected files, got an empty list")
    files = []
    for name, number, link, size, md5 in listed:
        if safe_parts(name) != (name,) or name.casefold() == DOWNLOADS:
            raise BadValue(f"{_shown(url)}: expected plain file names, got {name!r}")
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


def _from_roboflow(project: str, key: str, store: Path, base: str, patience: Patience) -> list[Path]:
    """Download the newest version of a project as a YOLOv8 export."""
    if not key:
        raise MissingData("no Roboflow key: expected one in ROBOFLOW_API_KEY or as an argument")
    query = urlencode({"api_key": key})
    about = _json(f"{base}/{project}?{query}", patience)
    try:
        made = [version for version in about["versions"] if not version.get("generating")]
        version = max(int(str(version["id"]).rpartition("/")[2]) for version in made)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise MissingData(f"{base}/{project}: expected a list of versions, got another answer") from None
    for _ in range(patience.polls):
        answer = _json(f"{base}/{project}/{version}/{FORMAT}?{query}&nocache=true", patience)
        export = answer.get("export") if isinstance(answer, dict) else None
        if isinstance(export, dict) and isinstance(export.get("link"), str):
            name = f"{project.rpartition('/')[2]}-v{version}.zip"
            return [download(export["link"], store / name, patience=patience)]
        if not isinstance(answer, dict) or "progress" not in answer:
            raise MissingData(f"{base}/{project}/{version}/{FORMAT}: expected a link or a progress, got neither")
        time.sleep(patience.poll_s)
    raise MissingData(f"{base}/{project}/{version}/{FORMAT}: the export was not ready in time; run this again")


def _by_hand(store: Path) -> list[Path]:
    files = sorted(path for path in store.glob("*") if path.is_file() and kind(path)) if store.is_dir() else []
    if not files:
        raise MissingData("this set cannot be fetched by a program")
    return files


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
