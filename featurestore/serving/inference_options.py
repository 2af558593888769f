"""How live inference is bounded."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["InferenceOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceOptions:
    """Bounds of time and number.

    A lock lasts ``lock_seconds`` and is renewed while its model runs, for ``longest_call`` seconds at most. A failure
    keeps an entity from the model for ``cooldown_seconds``, in all processes; ``breaker_failures`` of them in a row
    keep this process from it for ``breaker_seconds``. ``threads`` models run at a time, and ``backlog`` wait.
    """

    lock_seconds: float = 10.0
    longest_call: float = 60.0
    cooldown_seconds: float = 5.0
    breaker_failures: int = 5
    breaker_seconds: float = 10.0
    threads: int = 16
    backlog: int = 64
