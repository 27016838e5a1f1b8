"""Idle connections, closed in time: uvicorn keeps one for ever that never sends a whole request head."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_S = 5.0
_BUSY = object()


class Connection(H11Protocol):
    """A connection of uvicorn's that is closed after HEAD_S, at most twice that, without a request.

    A few hundred idle connections are all that a process may hold; then it answers nobody.
    """

    _last: RequestResponseCycle | object | None = None

    # asyncio's type is a bare transport; uvicorn narrows it likewise.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to check, now and then, whether there was a request."""
        super().connection_made(transport)
        self.loop.call_later(HEAD_S, self._check)

    def _check(self) -> None:
        if self.transport.is_closing():
            return
        idle = self.conn.their_state is h11.IDLE
        if idle and self.cycle is self._last:
            self.timeout_keep_alive_handler()
            return
        # A connection whose answer has just ended is not idle yet: its client's next request may be on its way.
        self._last = self.cycle if idle else _BUSY
        self.loop.call_later(HEAD_S, self._check)
