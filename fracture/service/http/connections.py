"""Connections on which nobody asks for anything, closed: uvicorn keeps one that sends no whole head for ever."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_S = 5.0
_BUSY = object()


class Connection(H11Protocol):
    """One of uvicorn's own that is closed once it has spent HEAD_S, and at most twice that, without a request.

    A few hundred such connections are all a process may hold; it then answers nobody.
    """

    _last: RequestResponseCycle | object | None = None

    # asyncio's type is a bare transport; uvicorn narrows it likewise.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look, now and then, whether there was a request."""
        super().connection_made(transport)
        self.loop.call_later(HEAD_S, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        idle = self.conn.their_state is h11.IDLE
        if idle and self.cycle is self._last:
            self.timeout_keep_alive_handler()
            return
        # An answer that has just ended was not idleness: its client's next request may be on its way.
        self._last = self.cycle if idle else _BUSY
        self.loop.call_later(HEAD_S, self._look)
