"""What this machine gives a process."""

import os
from pathlib import Path

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
