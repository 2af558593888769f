"""Long-lived local processes: spawned detached, recognised by pid and start time, stopped with all they started."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from featurestore.errors import StateError

__all__ = [
    "Process",
    "child_environment",
    "exclusive_lock",
    "is_listening",
    "read_process",
    "spawn_detached",
    "stop_process",
    "tail",
    "write_process",
]

MARKER = "FEATURESTORE_SERVER_ID"
_PROC = Path("/proc")
_LISTENING = "0A"
_SPAWN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A detached process; ``started`` (kernel ticks, 0 where unknown) tells it from a later one with the same pid."""

    pid: int
    started: int = 0
    marker: str = ""
    port: int = 0

    def is_running(self) -> bool:
        if self.started:
            return _start_ticks(self.pid) == self.started
        return _is_signalable(self.pid)


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Give a child what this process has, with ``changes`` on top."""
    return {**os.environ, **changes}


def spawn_detached(argv: Sequence[str], *, environment: Mapping[str, str], log: Path, marker: str = "") -> Process:
    """Start ``argv`` in its own session with output appended to ``log``; nothing waits for it.

    Every descendant inherits ``marker`` in its environment, so that one that left the process group is still found.
    """
    process_environment = {**environment, MARKER: marker} if marker else dict(environment)
    pid = os.posix_spawn(
        argv[0],
        list(argv),
        process_environment,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), _SPAWN_FLAGS, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    return Process(pid=pid, started=_start_ticks(pid), marker=marker)


def stop_process(process: Process, *, grace_seconds: float = 10.0) -> bool:
    """End the process and everything it started: SIGTERM, then SIGKILL after ``grace_seconds``; say whether any ran."""
    members = _members(process)
    if not members:
        return False
    _signal_all(members, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline:
        if not _members(process):
            return True
        time.sleep(0.05)
    while members := _members(process):
        _signal_all(members, signal.SIGKILL)
        time.sleep(0.02)
        if time.monotonic() > deadline + grace_seconds:
            raise StateError(
                f"processes {sorted(members)} of the server with pid {process.pid} outlived SIGKILL; end them by hand"
            )
    return True


def is_listening(process: Process, port: int) -> bool:
    """Whether the process or one it started is who listens on the TCP port of 127.0.0.1; True where unknowable."""
    table = _PROC / "net" / "tcp"
    if not table.is_file():
        return True
    rows = (line.split() for line in table.read_text(encoding="ascii").splitlines()[1:])
    wanted = {
        f"socket:[{row[9]}]" for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port
    }
    return any(wanted & _open_files(pid) for pid in _members(process)) if wanted else False


def write_process(path: Path, process: Process) -> None:
    """Record the process in its pid file, replacing the old file whole."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(asdict(process)), encoding="utf-8")
    temporary.replace(path)


def read_process(path: Path) -> Process | None:
    """Read a pid file; None when there is none or it is not readable as one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Process(**document)
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the lock file against other processes of this machine; released at exit, however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, path.stat().st_size - 16_384))
            text = handle.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return "(no log was written)"
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"


def _members(process: Process) -> set[int]:
    """Pids that are alive and in the process's session, or carry its marker."""
    _reap(process.pid)
    if not _PROC.is_dir():
        return {process.pid} if _is_signalable(process.pid) else set()
    needle = f"{MARKER}={process.marker}".encode() if process.marker else b""
    session = process.pid if not process.started or _start_ticks(process.pid) in (process.started, 0) else -1
    found: set[int] = set()
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or (pid := int(entry.name)) == os.getpid():
            continue
        fields = _stat_fields(pid)
        if fields is None or fields[0] in "ZX":
            continue
        if int(fields[3]) == session or (needle and needle in _environment_entries(pid)):
            found.add(pid)
    return found


def _environment_entries(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _open_files(pid: int) -> set[str]:
    found = set()
    try:
        for entry in (_PROC / str(pid) / "fd").iterdir():
            found.add(str(entry.readlink()))
    except OSError:
        return found
    return found


def _stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat from the state on: 0 state, 1 parent, 2 group, 3 session, 19 start ticks."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _start_ticks(pid: int) -> int:
    """Kernel start time of a live process; 0 when it is gone, a zombie, or there is no /proc."""
    fields = _stat_fields(pid)
    return 0 if fields is None or fields[0] in "ZX" else int(fields[19])


def _reap(pid: int) -> None:
    """Collect the exit status if the process is our own child, so that it does not stay as a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _is_signalable(pid: int) -> bool:
    _reap(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal_all(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
