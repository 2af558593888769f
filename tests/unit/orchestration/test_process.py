"""Job processes: output, exit codes, and that a kill leaves nothing of the tree."""

from __future__ import annotations

import os
import select
import sys
import threading
from pathlib import Path

from featurestore.orchestration.process import JobProcess

TREE = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, {on_term})
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("child", child.pid, flush=True)
{then}
"""


def run_python(code: str, job: JobProcess | None = None) -> tuple[int, list[str], list[str]]:
    output: list[str] = []
    log: list[str] = []
    process = job or JobProcess(grace_seconds=5)
    exit_code = process.run(
        [sys.executable, "-c", code],
        environment={**os.environ, "JOB_MARK": "here"},
        on_output=output.append,
        on_log=log.append,
    )
    return exit_code, output, log


def has_ended(pid: int) -> bool:
    """Wait for a process that is not our child to end; a zombie that its new parent has yet to reap has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 5)[0])
    finally:
        os.close(handle)


def test_output_log_and_exit_code_come_apart() -> None:
    code = "import os, sys; print(os.environ['JOB_MARK']); print('warn', file=sys.stderr); sys.exit(65)"
    assert run_python(code) == (65, ["here"], ["warn"])


def test_bytes_that_are_not_utf8_do_not_stop_the_output() -> None:
    code = r"import sys; sys.stdout.buffer.write(b'\xff\n'); print('next')"
    assert run_python(code)[1] == ["\ufffd", "next"]


def test_a_large_output_does_not_block() -> None:
    exit_code, output, log = run_python(
        "import sys\nfor n in range(9000): print('o' * 99); print('e' * 99, file=sys.stderr)"
    )
    assert (exit_code, len(output), len(log)) == (0, 9000, 9000)


def test_what_a_job_leaves_running_is_ended() -> None:
    exit_code, output, _ = run_python(TREE.format(on_term="signal.SIG_DFL", then=""))
    assert exit_code == 0
    assert has_ended(int(output[0].split()[1]))


def kill_when_started(code: str, grace_seconds: float) -> tuple[int, int]:
    job = JobProcess(grace_seconds=grace_seconds)
    started = threading.Event()
    output: list[str] = []

    def on_output(line: str) -> None:
        output.append(line)
        started.set()

    def kill() -> None:
        started.wait(20)
        job.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    exit_code = job.run(
        [sys.executable, "-c", code], environment=dict(os.environ), on_output=on_output, on_log=lambda line: None
    )
    killer.join()
    assert job.is_killed
    return exit_code, int(output[0].split()[1])


def test_kill_ends_the_whole_tree() -> None:
    exit_code, child = kill_when_started(TREE.format(on_term="signal.SIG_DFL", then="child.wait()"), grace_seconds=5)
    assert exit_code == -15
    assert has_ended(child)


def test_a_job_that_ignores_the_request_is_killed_after_the_grace() -> None:
    code = TREE.format(on_term="signal.SIG_IGN", then="while True: signal.pause()")
    exit_code, child = kill_when_started(code, grace_seconds=0.2)
    assert exit_code == -9
    assert has_ended(child)


def test_kill_before_and_after_a_run_does_nothing(tmp_path: Path) -> None:
    job = JobProcess()
    job.kill()
    job = JobProcess()
    assert run_python("pass", job)[0] == 0
    job.kill()
