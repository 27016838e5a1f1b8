"""What this machine gives a process, and what a process does not hand on."""

import os
from pathlib import Path

from fracture.core.errors import NotOpen

_CPU_SHARE = Path("/sys/fs/cgroup/cpu.max")
"""A container's share of the processor, in microseconds of each period (Linux, control group v2)."""


def cores() -> int:
    """Give the cores this process may use: those of the machine, or the fewer it is bound to or has a share of."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_SHARE.read_text(encoding="ascii").split()
        return max(1, min(bound, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return bound


class Opened:
    """Knows the process that opened something. A fork of it has its memory, but neither its threads nor its children.

    Whoever waits for these in a fork waits for ever.
    """

    def __init__(self) -> None:
        self._process = os.getpid()

    @property
    def here(self) -> bool:
        """Tell whether this is the process that opened it."""
        return os.getpid() == self._process

    def check(self) -> None:
        """Raise NotOpen in any other process."""
        if not self.here:
            raise NotOpen("this model was opened by another process: load the model in each process that reads films")
