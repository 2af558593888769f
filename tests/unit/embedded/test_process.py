"""Detached processes: recognised, stopped with all they started, never mistaken for another."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from featurestore.embedded.process import (
    Process,
    child_environment,
    is_listening,
    read_process,
    spawn_detached,
    stop_process,
    tail,
    write_process,
)

# A server that ignores SIGTERM, with a child that left the session.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def spawn(code: str, log: Path) -> Process:
    return spawn_detached(
        [sys.executable, "-c", code], environment=child_environment({}), log=log, marker=f"test:{log}"
    )


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"


def test_stopping_takes_everything_it_started_along(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = spawn(STUBBORN, log)
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    child = int(log.read_text())
    assert process.is_running()
    assert os.getsid(child) != process.pid
    assert stop_process(process, grace_seconds=0.2)
    assert not process.is_running()
    assert not is_alive(child)
    assert not stop_process(process)


def test_children_of_a_server_that_died_are_still_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = spawn(STUBBORN, log)
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not process.is_running())
    assert stop_process(process, grace_seconds=0.2)
    assert not is_alive(int(log.read_text()))


def test_a_later_process_with_the_same_pid_is_left_alone(tmp_path: Path) -> None:
    process = spawn("import time; time.sleep(60)", tmp_path / "log")
    impostor = replace(process, started=process.started - 1, marker="another")
    assert not impostor.is_running()
    assert not stop_process(impostor)
    assert process.is_running()
    assert stop_process(process)


def test_only_the_owner_of_a_port_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        stranger = spawn("import time; time.sleep(60)", tmp_path / "log")
        try:
            assert not is_listening(stranger, port)
        finally:
            stop_process(stranger)
    listen = f"import socket, time; server = socket.create_server(('127.0.0.1', {port}))"
    process = spawn(f"{listen}; print('on', flush=True); time.sleep(60)", tmp_path / "server.log")
    try:
        wait_for(lambda: (tmp_path / "server.log").read_text() == "on\n")
        assert is_listening(process, port)
    finally:
        stop_process(process)


def test_a_pid_file_is_read_as_written_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "server.pid"
    process = Process(pid=1, started=2, marker="m", port=3)
    assert read_process(path) is None
    write_process(path, process)
    assert read_process(path) == process
    assert [entry.name for entry in tmp_path.iterdir()] == ["server.pid"]
    path.write_text("{half")
    assert read_process(path) is None


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert tail(path) == "(no log was written)"
    path.touch()
    assert tail(path) == "(the log is empty)"
    path.write_text("".join(f"line {number}\n" for number in range(100)))
    assert tail(path, lines=2) == "line 98\nline 99"
