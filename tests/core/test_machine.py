"""Cores: those of the machine, or the fewer that a process may use."""

import os

import pytest

from fracture.core import machine
from fracture.core.machine import cores


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        ("max 100000\n", 8),
        ("400000 100000\n", 4),
        ("150000 100000\n", 2),
        ("130000 100000\n", 1),
        ("20000 100000\n", 1),
        ("6400000 100000\n", 8),
        ("nonsense\n", 8),
        ("1 2 3\n", 8),
        (None, 8),
    ],
)
def test_a_containers_share_of_the_processor_is_all_there_is(tmp_path, monkeypatch, share, expected):
    file = tmp_path / "cpu.max"
    if share is not None:
        file.write_text(share)
    monkeypatch.setattr(machine, "_CPU_SHARE", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores() == expected


def test_where_nothing_is_bound_all_cores_count(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CPU_SHARE", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for count, expected in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert cores() == expected
