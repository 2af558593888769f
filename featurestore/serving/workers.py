"""Threads for work that a caller may stop waiting for."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["Workers"]

_T = TypeVar("_T")
_Task = tuple["Future[Any]", Callable[[], Any]]
_IDLE_SECONDS = 30.0


class Workers:
    """Up to ``threads`` threads with a bounded backlog. They start when there is work, and end when there is none.

    A process that ends does not wait for them: a call that never returns holds up nobody. A forked child has its own.
    """

    def __init__(self, name: str, *, threads: int, backlog: int) -> None:
        self._name = name
        self._threads = threads
        self._room = threads + backlog
        self._reset()

    def submit(self, call: Callable[[], _T]) -> Future[_T] | None:
        """Run the call in a thread; None when the backlog is full."""
        if self._pid != os.getpid():
            self._reset()
        future: Future[_T] = Future()
        with self._lock:
            if self._pending >= self._room:
                return None
            self._pending += 1
            self._tasks.put((future, call))
            if self._started < min(self._pending, self._threads):
                self._started += 1
                name = f"featurestore-{self._name}-{self._started}"
                threading.Thread(target=self._work, args=(self._tasks,), name=name, daemon=True).start()
        return future

    def wait_idle(self, seconds: float) -> bool:
        """Wait until all work is done; say whether it is."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._pending, seconds)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._pending = 0
        self._started = 0

    def _work(self, tasks: queue.SimpleQueue[_Task]) -> None:
        while True:
            try:
                future, call = tasks.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if tasks.empty():
                        self._started -= 1
                        return
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                future.set_exception(error)
            with self._idle:
                self._pending -= 1
                self._idle.notify_all()
            del future, call
