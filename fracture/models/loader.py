"""A loader of train films that asks for an epoch's films only once the epoch has begun."""

from collections.abc import Iterator
from functools import cache
from typing import Any


@cache
def loader_class() -> Any:
    from torch.utils.data import DataLoader

    class Loader(DataLoader):  # type: ignore[misc, type-arg, unused-ignore]  # torch's classes are untyped here
        """Deals each epoch by itself: Ultralytics and Lightning ask for one before anybody can say which it is."""

        def __iter__(self) -> Iterator[Any]:  # type: ignore[override, unused-ignore]  # begins when the first is asked for
            yield from super().__iter__()

        def reset(self) -> None:
            """Do nothing: workers start afresh with every epoch, and see the films' settings as they are then."""

    return Loader
