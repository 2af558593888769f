"""Copies of a project whose command was killed, each at another fault point."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from pyspark.sql import SparkSession

from tests.support.project import Project

__all__ = ["killed_copies"]


@contextmanager
def killed_copies(
    template: Project,
    folders: pytest.TempPathFactory,
    command: Sequence[str],
    faults: Sequence[str],
    spark: SparkSession,
) -> Iterator[Callable[[str], Project]]:
    """Give for each fault a copy whose command was killed there; two run at a time.

    The processes that die borrow the Java virtual machine of ``spark``, which does nothing of its own between the
    calls of the process that it works for: to start one for each took most of the time.
    """
    copies = {fault: template.copy(folders.mktemp("killed") / "repo") for fault in faults}
    with ThreadPoolExecutor(2) as pool:
        runs = {fault: pool.submit(copy.run, *command, fault=fault, spark=spark) for fault, copy in copies.items()}

        def wait(fault: str) -> Project:
            done = runs[fault].result()
            assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
            return copies[fault]

        yield wait
        pool.shutdown(cancel_futures=True)
    for copy in copies.values():
        copy.redis.stop()
