"""Lookups and writes that go on in threads while a test hurts the servers, and what came of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from featurestore.errors import FeatureStoreError
from featurestore.stores.redis.store import RedisOnlineStore

__all__ = ["Traffic"]


class Traffic:
    """Repeats one call in threads until the end of the ``with`` block; keeps answers, errors and the longest wait."""

    def __init__(self, call: Callable[[int], object], *, threads: int = 2) -> None:
        self._call = call
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, daemon=True) for _ in range(threads)]
        self.answers: list[object] = []
        self.errors: list[FeatureStoreError] = []
        self.unexpected: list[BaseException] = []
        self.longest = 0.0

    @classmethod
    def reads(cls, store: RedisOnlineStore, keys: Sequence[bytes], *, deadline: float, threads: int = 2) -> Traffic:
        return cls(lambda _: store.read(keys, deadline=deadline), threads=threads)

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)

    def wait_for_more(self, count: int = 20, *, seconds: float = 20.0) -> None:
        """Wait until so many more answers came."""
        wanted = len(self.answers) + count
        ends = time.monotonic() + seconds
        while len(self.answers) < wanted:
            assert time.monotonic() < ends, f"no more answers; the last error is {self.errors[-1:]}"
            time.sleep(0.01)

    def _repeat(self) -> None:
        number = 0
        while not self._is_over.is_set():
            started = time.monotonic()
            try:
                self.answers.append(self._call(number))
            except FeatureStoreError as error:
                self.errors.append(error)
            except BaseException as error:  # noqa: BLE001 - the test asserts that there is none
                self.unexpected.append(error)
                return
            self.longest = max(self.longest, time.monotonic() - started)
            number += 1
