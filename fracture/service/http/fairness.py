"""How much one request may take of what all share: places in turn, and a budget of time and pixels."""

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import Event

from fracture.core.errors import TooCostly

_PIXELS_PER_MEGAPIXEL = 1_000_000


class Share:
    """The budget of one request, and what its films have cost so far. It also stands for the request in a `Fair`."""

    def __init__(self, most_s: float, most_megapixels: int) -> None:
        self._most_s = most_s
        self._most_megapixels = most_megapixels
        self._spent_s = 0.0
        self._pixels = 0

    def check(self) -> None:
        """Raise TooCostly where earlier films have used it up."""
        if self._spent_s >= self._most_s:
            raise TooCostly(f"expected films that together take at most {self._most_s:g} s to decode; it is used up")
        if self._pixels >= self._most_megapixels * _PIXELS_PER_MEGAPIXEL:
            raise TooCostly(
                f"expected films of at most {self._most_megapixels} megapixels together; those before have them all"
            )

    def spend(self, seconds: float, pixels: int = 0) -> None:
        """Count what a film has cost."""
        self._spent_s += seconds
        self._pixels += pixels


class Fair:
    """Some places, given to waiting requests in turn, one film each; no request holds more than ``most_each``.

    However many films one request brings, a film of another waits for at most one of them, never for the last place.
    """

    def __init__(self, places: int, most_each: int) -> None:
        self._free = places
        self._most_each = most_each
        self._held = Counter[object]()
        self._waiting: dict[object, deque[Event]] = {}

    @asynccontextmanager
    async def place(self, owner: object) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
        await self._take(owner)
        try:
            yield
        finally:
            self._give(owner)

    async def _take(self, owner: object) -> None:
        if self._may(owner) and owner not in self._waiting:
            self._hold(owner)
            return
        given = Event()
        self._waiting.setdefault(owner, deque()).append(given)
        try:
            await given.wait()
        except BaseException:
            if given.is_set():
                self._give(owner)
            else:
                self._leave(owner, given)
            raise

    def _may(self, owner: object) -> bool:
        return self._free > 0 and self._held[owner] < self._most_each

    def _hold(self, owner: object) -> None:
        self._free -= 1
        self._held[owner] += 1

    def _give(self, owner: object) -> None:
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        if owner in self._waiting:  # to the end of the line, behind those who have had no turn
            self._waiting[owner] = self._waiting.pop(owner)
        while next_owner := next((one for one in self._waiting if self._may(one)), None):
            given = self._waiting[next_owner][0]
            self._leave(next_owner, given)
            self._hold(next_owner)
            given.set()

    def _leave(self, owner: object, given: Event) -> None:
        """Take one out of the line. Others of its owner move to the end."""
        line = self._waiting.pop(owner)
        line.remove(given)
        if line:
            self._waiting[owner] = line
