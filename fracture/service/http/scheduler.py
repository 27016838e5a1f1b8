"""The scheduler: films wait here for their turn, are decoded in a sandbox and go through the network.

One film's decoding overlaps with another's inference. Nothing here blocks the event loop, and a request that is alone
does not wait.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from fracture.core.types import Prediction
from fracture.inference.reader import Reader
from fracture.inference.sandbox import Prepared, Sandbox
from fracture.service.http.fairness import Fair, Share
from fracture.service.http.problems import RequestRefused
from fracture.service.http.telemetry import Telemetry

T = TypeVar("T")
Gone = Callable[[], Awaitable[bool]]

READY_S = 2.0
_FIRST_GUESS_S = 0.2
_MEMORY = 0.1
"""The weight of the newest film in the running mean of how long the network takes."""


class Scheduler:
    """Reads films for requests, at most ``streams`` in the network and ``decoders`` being decoded at once."""

    def __init__(
        self, reader: Reader, sandbox: Sandbox, telemetry: Telemetry, *, decoders: int, streams: int, most_waiting: int
    ) -> None:
        self.reader = reader
        self._sandbox = sandbox
        self._telemetry = telemetry
        # One process is kept for others when a single request has all the rest.
        self._decoding = Fair(decoders, max(1, decoders - 1))
        self._inferring = CapacityLimiter(streams)
        self._drawing = CapacityLimiter(streams)
        # Enough that the network never waits for decoding. Other films wait undecoded, which takes less memory.
        turns = decoders + 2 * streams
        self._turns = Fair(turns, max(1, turns - streams - 1))
        # The limiters above bound the threads. anyio's own bound is for everything else in the process.
        self._threads = CapacityLimiter(math.inf)
        self._checker = ThreadPoolExecutor(1, "ready")
        self._check: Future[None] | None = None
        self._streams = streams
        self._most_waiting = most_waiting
        self._inside = 0
        self._mean_s = _FIRST_GUESS_S

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for a request, from before its body is read. Raises RequestRefused (503) where all are taken."""
        if self._inside >= self._most_waiting:
            raise overloaded("too many requests are waiting", self._inside * self._mean_s / self._streams)
        self._inside += 1
        self._telemetry.inside.set(self._inside)
        try:
            yield
        finally:
            self._inside -= 1
            self._telemetry.inside.set(self._inside)

    def turn(self, gone: Gone, share: Share | None = None) -> AbstractAsyncContextManager[None]:
        """Wait for a file's turn and hold it until its films are read or drawn. Requests take turns.

        ``share`` stands for the request; without one the file is a request of its own. Raises RequestRefused (408)
        where its sender is ``gone``.
        """
        return self._waited_for(self._turns.place(share or object()), gone)

    async def prepare(
        self,
        data: bytes,
        gone: Gone,
        *,
        share: Share | None = None,
        most: int = 1,
        frame: int | None = None,
        grey: bool = False,
    ) -> list[Prepared]:
        """Decode a file; see `fracture.inference.sandbox.Sandbox.prepare` for arguments and refusals.

        ``share`` stands for the request, as in `turn`; raises TooCostly where it is used up. Raises RequestRefused:
        503 where there is no process to decode it, 408 where its sender is ``gone``.
        """

        def task() -> list[Prepared]:
            if share is None:
                return self._sandbox.prepare(data, most=most, frame=frame, grey=grey)
            share.check()
            began, pixels = time.perf_counter(), 0
            try:
                films = self._sandbox.prepare(data, most=most, frame=frame, grey=grey)
                pixels = sum(film.model_input.film_px[0] * film.model_input.film_px[1] for film in films)
                return films
            finally:
                share.spend(time.perf_counter() - began, pixels)

        try:
            return await self._do("decode", self._decoding.place(share or object()), task, gone)
        except (OSError, RuntimeError):  # none starts, or they are killed, or the service is stopping
            raise overloaded("no process lasts long enough to decode the film", 1) from None

    @property
    def confinement(self) -> Mapping[str, bool]:
        """Tell which mechanisms confine the processes that decode films, once one was ready."""
        return self._sandbox.confined

    async def ready(self) -> bool:
        """Tell whether films can be decoded now; False where that is not known within READY_S."""
        # One check at a time for all callers: while it waits for a process to start, no film can use that process.
        if self._check is None or self._check.done():
            self._check = self._checker.submit(self._sandbox.check)
        found = asyncio.wrap_future(self._check)
        await asyncio.wait([found], timeout=READY_S)  # the check itself goes on
        return found.done() and not isinstance(found.exception(), OSError | RuntimeError)

    async def read(self, film: Prepared, gone: Gone) -> Prediction:
        """Put a prepared film through the network."""
        task = partial(self.reader.read_prepared, film.model_input, film.flags)
        return await self._do("network", self._inferring, task, gone)

    async def draw(self, task: Callable[[], T]) -> T:
        """Make a picture."""
        return await self._do("draw", self._drawing, task)

    async def _do(
        self, stage: str, places: AbstractAsyncContextManager[object], task: Callable[[], T], gone: Gone | None = None
    ) -> T:
        async with self._waited_for(places, gone):
            began = time.perf_counter()
            try:
                return await to_thread.run_sync(task, limiter=self._threads)
            finally:
                took_s = time.perf_counter() - began
                self._telemetry.stage(stage, took_s)
                if stage == "network":
                    self._mean_s += _MEMORY * (took_s - self._mean_s)

    @asynccontextmanager
    async def _waited_for(self, places: AbstractAsyncContextManager[object], gone: Gone | None) -> AsyncIterator[None]:
        began = time.perf_counter()
        async with places:
            waited_s = time.perf_counter() - began
            # A client that gave up has probably sent its film again: the old one must not keep the new one waiting.
            if gone is not None and waited_s > 0.05 and await gone():
                raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, "client_gone", "the client went away")
            self._telemetry.stage("queue", waited_s)
            yield


def overloaded(why: str, wait_s: float) -> RequestRefused:
    """Refuse for now, and say when to come back."""
    seconds = max(1, math.ceil(wait_s))
    detail = f"{why}; try again in {seconds} s"
    return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", detail, {"Retry-After": str(seconds)})
