"""Measured figures beside their rivals', and the table of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

__all__ = ["Figure", "Goal", "at_least", "at_most", "counted", "markdown"]

Bound: TypeAlias = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a ratio must reach, and what it should: from the project's budgets."""

    must: float | None = None
    aim: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of the table.

    ``ratio`` is the rival's time over ours where it is to be at least ``must`` (how many times faster), and ours over
    the rival's where it is to be at most that.
    """

    name: str
    rival: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    bound: Bound
    must: float | None = None
    aim: float | None = None

    @property
    def verdict(self) -> str:
        if self.must is None:
            return ""
        if self._keeps(self.must if self.aim is None else self.aim):
            return "aim" if self.aim is not None else "reached"
        return "reached" if self._keeps(self.must) else "**missed**"

    def _keeps(self, limit: float) -> bool:
        return self.ratio >= limit if self.bound == "at least" else self.ratio <= limit

    def to_dict(self) -> dict[str, object]:
        return {**asdict(self), "verdict": self.verdict.strip("*")}


def at_least(name: str, rival: str, ours: float, theirs: float, unit: str, goal: Goal | None = None) -> Figure:
    """Compare what should be small: how many times ours fits into theirs."""
    return _figure(name, rival, ours, theirs, unit, theirs / ours, "at least", goal or Goal())


def at_most(name: str, rival: str, ours: float, theirs: float, unit: str, goal: Goal | None = None) -> Figure:
    """Compare what may cost a share: ours over theirs."""
    return _figure(name, rival, ours, theirs, unit, ours / theirs, "at most", goal or Goal())


def counted(name: str, ours: float, unit: str, goal: Goal) -> Figure:
    """Give a count that has a limit and no rival."""
    return _figure(name, "", ours, 0, unit, ours, "at most", goal)


def _figure(
    name: str, rival: str, ours: float, theirs: float, unit: str, ratio: float, bound: Bound, goal: Goal
) -> Figure:
    return Figure(
        name=name,
        rival=rival,
        ours=ours,
        theirs=theirs,
        unit=unit,
        ratio=ratio,
        bound=bound,
        must=goal.must,
        aim=goal.aim,
    )


def markdown(figures: list[Figure]) -> str:
    """Write the table, one line for each figure."""
    lines = [
        "| What | Ours | Rival | Ratio | Must reach | Aim | |",
        "|---|---|---|---|---|---|---|",
    ]
    for figure in figures:
        rival = f"{_number(figure.theirs)} {figure.unit} {figure.rival}" if figure.rival else ""
        times = "x" if figure.rival else ""
        sign = "≥" if figure.bound == "at least" else "≤"
        limits = ["" if limit is None else f"{sign} {limit:g}{times}" for limit in (figure.must, figure.aim)]
        cells = [figure.name, f"{_number(figure.ours)} {figure.unit}", rival, f"{_number(figure.ratio)}{times}"]
        lines.append(f"| {' | '.join([*cells, *limits, figure.verdict])} |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if value == int(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
