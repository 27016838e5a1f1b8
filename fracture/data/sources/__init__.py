"""One file per dataset family, and the table of their names."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from fracture.data.ingest import Claim
from fracture.data.sources import fracatlas
from fracture.errors import BadValue

SOURCES: Mapping[str, Callable[[Path], Iterator[Claim]]] = MappingProxyType({"fracatlas": fracatlas.claims})


def claims(name: str, root: Path) -> Iterator[Claim]:
    """Give what the named source says about its films. Raises BadValue for a name that is not in the table."""
    if name not in SOURCES:
        raise BadValue(f"expected a source out of {', '.join(sorted(SOURCES))}, got {name!r}")
    return SOURCES[name](root)
