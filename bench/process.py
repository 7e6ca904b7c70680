"""What Linux says about a process: the memory it holds, and whether it still works on something."""

from __future__ import annotations

import os
import re
from pathlib import Path
from time import monotonic, sleep
from typing import Final, NamedTuple

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS: Final = 0.3
_IDLE_SHARE: Final = 0.1


class Memory(NamedTuple):
    """Resident megabytes (10**6 bytes): now, and at the worst moment since the process began."""

    resident: float
    peak: float


def memory_of(pid: int) -> Memory:
    """The memory of that process. Raises FileNotFoundError where there is no Linux /proc."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return Memory(_megabytes(status, "VmRSS"), _megabytes(status, "VmHWM"))


def settle(pid: int, *, within_seconds: float = 15) -> None:
    """Return once the process is idle, so that merges of what was stored do not slow down what is measured next."""
    deadline = monotonic() + within_seconds
    while monotonic() < deadline:
        before = cpu_seconds(pid)
        sleep(_LOOK_SECONDS)
        if cpu_seconds(pid) - before < _IDLE_SHARE * _LOOK_SECONDS:
            return


def _megabytes(status: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None, f"no {name} in the status of a process"
    return int(found[1]) * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads; fields 14 and 15, counted behind the name, which may hold anything."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
