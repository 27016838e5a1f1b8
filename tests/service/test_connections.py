"""A connection is closed for asking nothing, never for an answer that took long."""

from types import SimpleNamespace

import h11
import pytest

from fracture.service.http.connections import Connection

BUSY, IDLE = h11.DONE, h11.IDLE


@pytest.mark.parametrize(
    ("looks", "closed_at"),
    [
        ([(IDLE, None)], 0),
        ([(BUSY, "first"), (IDLE, "first"), (BUSY, "second"), (IDLE, "third")], None),
        ([(BUSY, "first"), (IDLE, "first"), (IDLE, "first")], 2),
        ([(IDLE, "first"), (IDLE, "second"), (IDLE, "second")], 2),
        ([(BUSY, "first"), (BUSY, "first"), (IDLE, "first"), (IDLE, "second")], None),
    ],
)
def test_only_two_idle_looks_in_a_row_close_it(looks, closed_at):
    closed = []
    line = object.__new__(Connection)
    line.transport = SimpleNamespace(is_closing=lambda: False)
    line.loop = SimpleNamespace(call_later=lambda *_: None)
    for number, (state, cycle) in enumerate(looks):
        line.conn, line.cycle = SimpleNamespace(their_state=state), cycle
        line.timeout_keep_alive_handler = lambda number=number: closed.append(number)
        line._check()
    assert closed == ([] if closed_at is None else [closed_at])
