"""Weights to begin with, by name: downloaded once, and known by the digits of their SHA-256 in the file's name."""

from pathlib import Path
from typing import TYPE_CHECKING

from fracture.core.errors import BadValue
from fracture.data.acquire.download import download, records

if TYPE_CHECKING:
    from fracture.models.detectors.loop.architecture import Architecture

FOLDER = Path("data/weights")


def weights_file(architecture: "Architecture", start: str, folder: Path = FOLDER) -> Path:
    """Give the file that ``--start`` names: itself, or the one that a name stands for, downloaded where it is lacking.

    Raises BadValue for a name that the architecture does not know and for a file that is not the one expected,
    MissingData where it cannot be had.
    """
    url = architecture.weights.get(start)
    if url is None:
        if not Path(start).suffix:
            known = ", ".join(architecture.weights) or "none by name"
            raise BadValue(f"--start: expected a file or one of {known}, got {start!r}")
        return Path(start)
    file = download(url, folder / url.rpartition("/")[2])
    digits = file.stem.rpartition("-")[2]
    found = records(folder)[file.name]["sha256"]
    if not found.startswith(digits):
        file.unlink()
        raise BadValue(f"{file.name}: expected a SHA-256 that begins with {digits}, got {found}; it is thrown away")
    return file
