"""Data-quality rules of a view."""

from __future__ import annotations

from typing import Any

__all__ = ["Expectation"]


class Expectation:
    """A Great Expectations expectation by its snake-case name, with that expectation's arguments.

    ``severity="critical"`` (default) stops the interval; ``"warning"`` only says so. ``on="output"`` (default) checks
    the rows a run computed; ``on="input"`` checks the raw rows of the interval, before rows with a null key are
    dropped and before they are aggregated.
    """

    __slots__ = ("arguments", "name", "on", "severity")

    def __init__(self, name: str, /, *, severity: str = "critical", on: str = "output", **arguments: Any) -> None:
        self.name = name
        self.severity = severity
        self.on = on
        self.arguments = dict(sorted(arguments.items()))

    def __repr__(self) -> str:
        arguments = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
        return f"Expectation({self.name!r}{arguments})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expectation) and repr(self) == repr(other) and self._how() == other._how()

    def __hash__(self) -> int:
        return hash((repr(self), self._how()))

    def _how(self) -> tuple[str, str]:
        return (self.severity, self.on)
