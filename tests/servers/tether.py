"""A child process that cannot outlive its parent.

The child blocks on its standard input, whose writing end only this process holds. Closing it asks for an
orderly stop; and when this process dies, however suddenly, the kernel closes it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from core.errors import Unavailable

_ROOT = Path(__file__).resolve().parents[2]

# 1 is PR_SET_PDEATHSIG and 9 is SIGKILL; the wish survives exec.
_DIE_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"


class ServerFailed(Unavailable):
    """The server ended, or stayed silent, before it was ready; its own log says why."""

    code = "SERVER_FAILED"

    def __init__(self, module: str, status: int | None, log: str) -> None:
        ended = "was still silent" if status is None else f"ended with status {status}"
        super().__init__(f"{module} {ended} before it was ready; its log ends with:\n{log[-4000:]}")


class Tether:
    """A running `python -m module *arguments`, with the end of its life tied to ours.

    Its standard error goes to the file `log`. A session of its own keeps an interrupt at the terminal, or a
    signal to our process group, from reaching it: it ends through its standard input alone.
    """

    def __init__(self, module: str, *arguments: str, log: Path, environment: dict[str, str] | None = None) -> None:
        self._module = module
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=_ROOT,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the child has not ended yet."""
        return self._process.poll() is None

    def first_line(self) -> str:
        """What the child first printed, which is its way to say that it is ready. Raises `ServerFailed`."""
        line = _pipe(self._process.stdout).readline().decode().strip()
        if not line:
            raise self.failure()
        return line

    def failure(self) -> ServerFailed:
        """The error to raise for a child that cannot be used, after ending it."""
        status = self._process.poll()
        self.kill()
        return ServerFailed(self._module, status, self._log.read_text(errors="replace"))

    def stop(self, grace_seconds: float = 20) -> None:
        """Ended in an orderly way, or killed when that took longer than the grace."""
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        """Ended at once, as by `kill -9`; the child has no chance to write or to say goodbye."""
        self._process.kill()
        self._reap()

    def _reap(self) -> None:
        self._process.wait()
        _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()


def mortal(*command: str) -> list[str]:
    """The command, made such that Linux kills it when the thread that starts it ends. Its process id stays its own."""
    return [sys.executable, "-c", _DIE_WITH_PARENT, *command]


def reserved_port() -> socket.socket:
    """A socket bound to a free loopback port, not listening: nobody else is given the port while it is open.

    A server that sets SO_REUSEPORT can listen on that port nevertheless, and gets all the connections.
    """
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reservation.bind(("127.0.0.1", 0))
    return reservation


def wait_until_gone(pid: int, timeout_seconds: float = 20) -> bool:
    """Whether the process ended within the timeout. A zombie that awaits its parent counts as ended."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if not _is_alive(pid):
            return True
        time.sleep(0.05)
    return False


def _is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # asked for in the constructor
    return stream
