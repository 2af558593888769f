"""A job as a process group of its own: output line by line, and nothing of it left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

__all__ = ["KILL_GRACE_SECONDS", "JobProcess"]

KILL_GRACE_SECONDS = 3.0
"""From SIGTERM to SIGKILL; Airflow itself kills a task that takes more than 5 s to end."""
_DRAIN_SECONDS = 10.0
_POLL_SECONDS = 0.05


@dataclass(slots=True, kw_only=True)
class JobProcess:
    """Runs one command; ``kill`` may be called from a signal handler or another thread."""

    grace_seconds: float = KILL_GRACE_SECONDS
    _process: subprocess.Popen[str] | None = field(default=None, init=False)
    _is_killed: bool = field(default=False, init=False)

    @property
    def is_killed(self) -> bool:
        return self._is_killed

    def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        on_output: Callable[[str], None],
        on_log: Callable[[str], None],
    ) -> int:
        """Run to the end and give the exit code; stdout goes to ``on_output``, stderr to ``on_log``, line by line.

        The two are called from different threads. What the command leaves running in its group is killed.
        """
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._process = process
        readers = [
            threading.Thread(target=_read, args=(stream, sink), daemon=True)
            for stream, sink in ((process.stdout, on_output), (process.stderr, on_log))
        ]
        # A thread of its own waits, so that a signal handler finds no lock of Popen held by the main thread.
        waiter = threading.Thread(target=process.wait, daemon=True)
        for thread in (*readers, waiter):
            thread.start()
        try:
            waiter.join()
        finally:
            _end_group(process.pid, self.grace_seconds)
            waiter.join()
            for reader in readers:
                reader.join(_DRAIN_SECONDS)
        return process.returncode

    def kill(self) -> None:
        """End the whole group: SIGTERM, then SIGKILL after the grace."""
        self._is_killed = True
        if self._process is not None:
            _end_group(self._process.pid, self.grace_seconds)


def _read(stream: IO[str] | None, sink: Callable[[str], None]) -> None:
    assert stream is not None  # both were opened as pipes
    with stream:
        for line in stream:
            sink(line.rstrip("\n"))


def _end_group(group: int, grace_seconds: float) -> None:
    deadline = time.monotonic() + grace_seconds
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            os.killpg(group, 0)
        os.killpg(group, signal.SIGKILL)
