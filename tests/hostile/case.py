"""What a hostile input is, and what must become of it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np

from fracture.core.errors import FractureError

PLANTED = b"PLANTED"
"""Part of every name and text that is hidden in a hostile input; in no answer, header or log line may it be found."""

PLANTED_UID = "2.25.54321987654321"
"""Stands for every identifier."""

OK = "ok"
ANY = "any"
"""The film may be read or refused; all that matters is that the service answers, soon, and lives."""

SILENCE = "silence"
"""The connection may be closed without an answer, as to a client that has broken off."""

STATUSES = {
    **{kind.code: kind.status for kind in FractureError.__subclasses__()},
    **{OK: 200, "invalid_request": 422, "bad_request": 400, "upload_too_large": 413},
}


@dataclass(frozen=True, init=False)
class Case:
    """Bytes, and the codes of the refusals that are right for them, OK where a film is to be read.

    A ``bomb`` is small and asks for a lot; it must be refused within 2 s.
    """

    data: bytes
    codes: frozenset[str]
    bomb: bool

    def __init__(self, data: bytes, *codes: str, bomb: bool = False) -> None:
        for name, value in (("data", data), ("codes", frozenset(codes)), ("bomb", bomb)):
            object.__setattr__(self, name, value)


def bomb(data: bytes, *codes: str) -> Case:
    """Make the case of a bomb."""
    return Case(data, *codes, bomb=True)


def named(*tables: Iterable[tuple[str, Case]]) -> dict[str, Case]:
    """Collect cases by name. Raises ValueError for two of one name, of which one would be lost."""
    cases = list(chain(*tables))
    twice = [name for name, count in Counter(name for name, _ in cases).items() if count > 1]
    if twice:
        raise ValueError(f"expected every case to have a name of its own, got twice: {', '.join(twice)}")
    return dict(cases)


def grey(height: int = 48, width: int = 64) -> np.ndarray:
    """Draw a film of 8 bits on which no row is flat."""
    rows, columns = np.mgrid[:height, :width]
    return ((rows * 3 + columns * 2 + np.random.default_rng(7).integers(0, 40, (height, width))) % 256).astype(np.uint8)
