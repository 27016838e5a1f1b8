"""How fast films are read, prepared, split, searched, scored, served. Machines are noisy: trust ratios, not times."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bench import duplicates, metrics, preprocess, read, service, split
from fracture.core.errors import BadValue

BENCHES: Mapping[str, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
        "read": read.bench,
        "preprocess": preprocess.bench,
        "duplicates": duplicates.bench,
        "split": split.bench,
        "metrics": metrics.bench,
        "service": service.bench,
    }
)


def run(only: Sequence[str], **settings: Any) -> Iterator[str]:
    """Run the named benches and yield what each says. ``settings`` are those of ``python -m bench``.

    Raises BadValue for a name that is not in the table.
    """
    for name in only:
        if name not in BENCHES:
            raise BadValue(f"expected a bench out of {', '.join(BENCHES)}, got {name!r}")
    for name in only:
        yield BENCHES[name](settings)
