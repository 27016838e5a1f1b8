"""Many films: found, read one after the other, failures counted as answers of their own."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from fracture.errors import FractureError, MissingData
from fracture.reader import Reader
from fracture.types import Prediction, Refusal

_NOT_FILMS = {".txt", ".csv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".cache"}


def find_films(paths: Iterable[Path]) -> list[Path]:
    """List files as given, and below folders every file that is not plainly something else (labels, tables, hidden).

    Content decides later what a film is: DICOM files often have no extension. Raises MissingData for a path that is not
    there.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (file for file in sorted(path.rglob("*")) if file.is_file())
            found += [file for file in inside if file.suffix.lower() not in _NOT_FILMS and file.name[0] != "."]
        elif path.is_file():
            found.append(path)
        else:
            raise MissingData(f"no such file or folder: {path}")
    return found


def read_files(reader: Reader, files: Iterable[Path]) -> Iterator[tuple[Path, Prediction | Refusal]]:
    """Read every file; a file that cannot be read gives its Refusal, and the rest goes on."""
    for file in files:
        yield file, read_file(reader, file)


def read_file(reader: Reader, file: Path) -> Prediction | Refusal:
    """Read one file, or say why not."""
    try:
        return reader.read(file.read_bytes())
    except FractureError as error:
        return Refusal(error.code, str(error))
    except OSError as error:
        return Refusal("unreadable_file", f"the file cannot be opened: {error.strerror}")
