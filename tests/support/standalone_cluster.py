"""A Spark standalone cluster of this machine: a master and workers, each a process in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from featurestore.embedded.java import resolve_java_home
from featurestore.embedded.spark_submit import spark_home
from tests.support.model_server import free_port

__all__ = ["StandaloneCluster", "can_hide_folders", "running_cluster"]

_WAIT_SECONDS = 60
_HIDE = 'while [ "$1" != -- ]; do mount -t tmpfs none "$1" || exit 1; shift; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class StandaloneCluster:
    """``url`` is what spark.master is set to; a worker keeps what its executors unpacked in its folder."""

    url: str
    worker_folders: tuple[Path, ...]


@cache
def can_hide_folders() -> bool:
    """Say whether a process can be given a view of the file system without some folders."""
    program = shutil.which("unshare")
    if program is None:
        return False
    tried = [program, "--mount", "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@contextmanager
def running_cluster(folder: Path, *, workers: int = 2, hidden: Sequence[Path] = ()) -> Iterator[StandaloneCluster]:
    """Run a master and workers of one core and 700 MB each, until the block ends.

    They have no Python path and nothing of this process's environment but what Java needs. The workers cannot see the
    ``hidden`` folders, where that can be had.
    """
    url = f"spark://127.0.0.1:{free_port()}"
    folders = tuple(folder / f"worker-{number}" for number in range(workers))
    with ExitStack() as stack:
        port = url.rpartition(":")[2]
        master = ("master.Master", "--host", "127.0.0.1", "--port", port, "--webui-port", "0")
        stack.enter_context(_daemon(folder / "master", master, awaits="I have been elected leader"))
        for path in folders:
            options = ("--host", "127.0.0.1", "--cores", "1", "--memory", "700m", "--webui-port", "0")
            worker = ("worker.Worker", *options, "--work-dir", str(path / "work"), url)
            stack.enter_context(_daemon(path, worker, hidden=hidden, awaits="Successfully registered with master"))
        yield StandaloneCluster(url=url, worker_folders=folders)


@contextmanager
def _daemon(folder: Path, arguments: Sequence[str], *, awaits: str, hidden: Sequence[Path] = ()) -> Iterator[None]:
    folder.mkdir(parents=True)
    name, *options = arguments
    command = [str(spark_home() / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *options]
    if hidden and can_hide_folders():
        command = ["unshare", "--mount", "sh", "-c", _HIDE, "sh", *map(str, hidden), "--", *command]
    environment = {
        "PATH": f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin",
        "HOME": str(folder),
        "JAVA_HOME": str(resolve_java_home().home),
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + _WAIT_SECONDS
        while awaits not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
