"""Circuit breakers: a model that keeps failing is left alone for a while, then tried once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """Opens after ``failures`` calls in a row that failed; ``seconds`` later one call at a time may probe.

    A probe that succeeds closes it, one that fails opens it again, and one that says nothing for ``seconds`` counts as
    lost: the next may probe. Safe for threads.
    """

    def __init__(self, *, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._silent_until = 0.0

    @property
    def failures(self) -> int:
        """How many calls in a row have failed."""
        return self._failures

    def refuses(self) -> bool:
        """Say whether a call would be turned away now."""
        with self._lock:
            return self._is_open and self._clock() < self._silent_until

    def enter(self) -> bool:
        """Ask to call the model: True, or False while it is left alone. One that may call tells how it ended."""
        with self._lock:
            if not self._is_open:
                return True
            now = self._clock()
            if now < self._silent_until:
                return False
            self._silent_until = now + self._seconds  # this call is the probe
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._is_open:
                self._silent_until = self._clock() + self._seconds

    @property
    def _is_open(self) -> bool:
        return self._failures >= self._limit
