"""Keeps the locks of model calls that take longer than a lock lasts."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence

from featurestore.errors import DeadlineExceeded, OnlineStoreUnavailable
from featurestore.stores.row_locks import RowLocks, RowResult

__all__ = ["LockKeeper"]

logger = logging.getLogger(__name__)

_IDLE_SECONDS = 30.0


class LockKeeper:
    """Renews locks in one thread, which runs while there are any.

    A call that outlasts ``longest`` seconds loses its locks when they end: another may try. A call that died with its
    process loses them after ``seconds``.
    """

    def __init__(self, locks: RowLocks, *, seconds: float, longest: float) -> None:
        self._locks = locks
        self._seconds = seconds
        self._longest = longest
        self._pid = 0
        self._changed = threading.Condition()
        self._kept: dict[bytes, tuple[tuple[bytes, ...], float]] = {}
        self._thread: threading.Thread | None = None

    def keep(self, token: bytes, keys: Sequence[bytes]) -> None:
        """Renew these locks until they are dropped."""
        if self._pid != os.getpid():  # new, or the copy in a forked child, which has no thread
            self._pid, self._changed, self._kept, self._thread = os.getpid(), threading.Condition(), {}, None
        with self._changed:
            self._kept[token] = (tuple(keys), time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="featurestore-locks", daemon=True)
                self._thread.start()
            elif len(self._kept) == 1:
                self._changed.notify()

    def drop(self, token: bytes) -> None:
        with self._changed:
            self._kept.pop(token, None)

    def close(self) -> None:
        """Give up all locks, so that others need not wait for their end."""
        with self._changed:
            kept, self._kept = self._kept, {}
        for token, (keys, _) in kept.items():
            try:
                self._locks.settle([RowResult(key=key, value=None) for key in keys], token)
            except (OnlineStoreUnavailable, DeadlineExceeded) as error:
                logger.warning("%d locks were not given up: %s", len(keys), error)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: bool(self._kept), _IDLE_SECONDS):
                    self._thread = None
                    return
            time.sleep(self._seconds / 3)
            latest = time.monotonic() - self._longest
            with self._changed:
                kept = [(token, keys) for token, (keys, since) in self._kept.items() if since >= latest]
            for token, keys in kept:
                try:
                    self._locks.renew(keys, token, seconds=self._seconds)
                except (OnlineStoreUnavailable, DeadlineExceeded) as error:
                    logger.warning("%d locks were not renewed: %s", len(keys), error)
