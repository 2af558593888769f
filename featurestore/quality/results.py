"""What the gate found, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["GateResult", "RuleFailure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFailure:
    """One rule that does not hold, or that could not be evaluated.

    ``column`` is "" for a rule about the table, several names joined by ", " for one about several columns.
    ``observed`` is the value that the rule judged, None where it judges row by row. ``unexpected_count`` is None where
    the rule doesn't count rows. ``sample`` has up to 20 of the bad rows: their keys and the rule's columns.
    """

    name: str
    column: str
    severity: Literal["critical", "warning"]
    message: str
    observed: Any = None
    unexpected_count: int | None = None
    sample: tuple[Mapping[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give JSON values, as ``GateRefused.failures`` carries them."""
        return {
            "expectation": self.name,
            "column": self.column,
            "severity": self.severity,
            "message": self.message,
            "observed": self.observed,
            "unexpected_count": self.unexpected_count,
            "sample": [dict(row) for row in self.sample],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """``failures`` are critical, ``warnings`` are not; ``report`` is the HTML report, None when nothing was checked."""

    passed: bool
    failures: tuple[RuleFailure, ...] = ()
    warnings: tuple[RuleFailure, ...] = ()
    report: Path | None = None
