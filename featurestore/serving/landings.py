"""Wakes those who wait for a prediction that another thread of this process makes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Landings", "Watcher"]


class Landings:
    """Wakes those of this process who wait for keys whose flight landed here; others are found by polling."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: dict[bytes, set[Watcher]] = {}

    @contextmanager
    def watch(self) -> Iterator[Watcher]:
        watcher = Watcher(enter=self._enter)
        try:
            yield watcher
        finally:
            if watcher.keys:
                with self._lock:
                    self._leave(watcher)

    def post(self, keys: Sequence[bytes]) -> None:
        if not self._watchers:
            return
        with self._lock:
            for key in keys:
                for watcher in self._watchers.get(key, ()):
                    watcher.event.set()

    def _enter(self, watcher: Watcher, keys: Sequence[bytes]) -> None:
        with self._lock:
            self._leave(watcher)
            watcher.keys = tuple(keys)
            for key in keys:
                self._watchers.setdefault(key, set()).add(watcher)

    def _leave(self, watcher: Watcher) -> None:
        for key in watcher.keys:
            others = self._watchers[key]
            others.discard(watcher)
            if not others:
                del self._watchers[key]
        watcher.keys = ()


@dataclass(slots=True, kw_only=True, eq=False)
class Watcher:
    enter: Callable[[Watcher, Sequence[bytes]], None]
    keys: tuple[bytes, ...] = ()
    event: threading.Event = field(default_factory=threading.Event)

    def look_for(self, keys: Sequence[bytes]) -> None:
        if tuple(keys) != self.keys:
            self.enter(self, keys)

    def wait(self, pause: float, ends: float | None) -> bool:
        """Wait for a landing, at most so long; False when the time is up."""
        left = pause if ends is None else min(pause, ends - time.monotonic())
        if left <= 0:
            return False
        self.event.wait(left)
        self.event.clear()
        return True
