"""What a process holds in memory, as Linux counts it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Memory(NamedTuple):
    """Resident megabytes (10**6 bytes): now, and at the worst moment since the process began."""

    resident: float
    peak: float


def memory_of(pid: int) -> Memory:
    """The memory of that process. Raises FileNotFoundError where there is no Linux /proc."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    resident, peak = (_megabytes(status, name) for name in ("VmRSS", "VmHWM"))
    return Memory(resident, peak)


def _megabytes(status: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None, f"no {name} in /proc/PID/status"
    return int(found[1]) * 1024 / 1e6
