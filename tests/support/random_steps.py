"""Work on a small project, drawn by Hypothesis: histories of many keys, views, and an order in which steps are done.

Keys don't touch one another, so one example is many cases at once: a project computes all of them in the same jobs.
Times count from the start of the covered range, so an example can be replayed on any day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from featurestore.engines.reference.events import Events, events_by_key
from featurestore.engines.reference.feature_rows import FeatureRow, Predicates, aggregate_rows
from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import DeltaSourceNode, ViewNode
from featurestore.ir.schedule import parse_schedule

__all__ = ["DAYS", "GAMES", "MOVES", "Model", "Move", "Part", "Scenario", "Step", "definitions_of", "scenarios"]

HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)
DAYS, GAMES = 3, 60

MOVES = pa.schema(
    [
        ("game", pa.int64()),
        ("player", pa.string()),
        ("ts", pa.timestamp("us", "UTC")),
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("s", pa.string()),
    ]
)
PREDICATES: Predicates = {"n > 1": lambda row: None if row["n"] is None else row["n"] > 1}

DEFINITIONS = '''"""Two views of the same moves, each with windows and a schedule of its own."""

from datetime import datetime, timedelta, timezone

from featurestore import Aggregation, BatchFeatureView, DeltaSource, Entity
from featurestore.types import Int64, String

player = Entity(name="player", join_keys=["game", "player"], dtypes=[Int64, String])
moves = DeltaSource(name="moves", path="data/moves", timestamp_field="ts")


def stats(name, schedule, short, long, longest, ttl):
    return BatchFeatureView(
        name=name,
        entities=[player],
        source=moves,
        aggregations=[
            Aggregation(function="count", window=short, name=name + "_moves"),
            Aggregation(column="n", function="sum", window=long, name=name + "_total"),
            Aggregation(column="x", function="mean", window=longest, name=name + "_mean"),
            Aggregation(column="n", function="count", where="n > 1", window=long, name=name + "_many"),
            Aggregation(column="s", function="last_k", k=2, window=short, name=name + "_last"),
            Aggregation(column="s", function="count_distinct", window=long, name=name + "_words"),
        ],
        start=datetime.fromisoformat("START"),
        schedule=schedule,
        ttl=ttl,
    )


'''
_GRIDS: Mapping[str, tuple[Any, int]] = {
    '"@daily"': ("@daily", 24),
    "timedelta(hours=12)": (12 * HOUR, 12),
    '"0 6,18 * * *"': ("0 6,18 * * *", 12),
    '"0 3 * * *"': ("0 3 * * *", 24),
}
_ANY_START = datetime.fromisoformat("2026-01-05T00:00:00+00:00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An event of a game; ``landing`` is the number of earlier landings that it missed."""

    at: timedelta
    player: str
    n: int | None
    x: float | None
    s: str | None
    is_lost: bool
    landing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A range of a view's steps, by their numbers."""

    view: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """``views`` are the arguments of ``stats`` in the definitions; ``work`` is done from the first to the last."""

    views: Mapping[str, str]
    games: tuple[tuple[Move, ...], ...]
    work: tuple[Part, ...]

    def landing(self, number: int, start: datetime) -> list[dict[str, Any]]:
        """Give the source rows that come with one landing."""
        return [
            {
                "game": None if move.is_lost else game,
                "player": move.player,
                "ts": start + move.at,
                "n": move.n,
                "x": move.x,
                "s": move.s,
            }
            for game, moves in enumerate(self.games)
            for move in moves
            if move.landing == number
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``materialize`` a view over ``range``; with ``repair`` also what is done; after a ``restart`` if asked for."""

    view: str
    range: Interval
    repair: bool = False
    restart: bool = False


@dataclass(slots=True, kw_only=True)
class Model:
    """What a view's table has to say: for each step that was done, the oracle's rows from the events landed by then."""

    view: ViewNode
    source: DeltaSourceNode
    done: dict[Interval, list[FeatureRow]] = field(default_factory=dict)

    @property
    def coverage(self) -> Coverage:
        return Coverage.of(self.done)

    @property
    def rows(self) -> list[FeatureRow]:
        return [row for rows in self.done.values() for row in rows]

    def run(self, step: Step, landed: Sequence[Mapping[str, Any]]) -> None:
        assert self.view.schedule is not None
        events = self._events(landed)
        for part in self.view.schedule.steps(step.range):
            if part not in self.done or step.repair:
                follows = any(other.end == part.start for other in self.done)
                self.done[part] = aggregate_rows(self.view, events, part, first=not follows, predicates=PREDICATES)

    def whole(self, landed: Sequence[Mapping[str, Any]], covered: Interval) -> list[FeatureRow]:
        """Compute the range at once, from all events."""
        return aggregate_rows(self.view, self._events(landed), covered, first=True, predicates=PREDICATES)

    def _events(self, landed: Sequence[Mapping[str, Any]]) -> Events:
        return events_by_key(self.view, self.source, landed)


def definitions_of(scenario: Scenario, start: datetime) -> str:
    text = DEFINITIONS.replace("START", start.isoformat())
    return text + "".join(f'view_{name} = stats("{name}", {said})\n' for name, said in scenario.views.items())


def scenarios(*, is_late: bool) -> st.SearchStrategy[Scenario]:
    """Draw two views, their work, and games of few moves, of which some land late if ``is_late``."""
    # The simplest example has no two moves that differ.
    return _scenarios(is_late).filter(lambda drawn: len({move.at for game in drawn.games for move in game}) > DAYS)


@st.composite
def _scenarios(draw: st.DrawFn, is_late: bool) -> Scenario:
    grids = draw(st.lists(st.sampled_from(sorted(_GRIDS)), min_size=2, max_size=2, unique=True))
    views, parts = {}, []
    for name, grid in zip("ab", grids, strict=True):
        schedule, hours = _GRIDS[grid]
        views[name] = f"{grid}, {draw(_windows(hours))}"
        steps = parse_schedule(schedule).steps(Interval(_ANY_START, _ANY_START + DAYS * 24 * HOUR))
        parts += draw(_parts(name, len(list(steps))))
    work = draw(st.permutations(parts))
    again = draw(st.sampled_from(parts))
    work.insert(draw(st.integers(1, len(work))), again)
    games = draw(st.lists(st.lists(_move(is_late), min_size=1, max_size=6), min_size=GAMES, max_size=GAMES))
    return Scenario(views=views, games=tuple(map(tuple, games)), work=tuple(work))


@st.composite
def _windows(draw: st.DrawFn, hours: int) -> str:
    """Draw windows that the steps divide, or that reach over all time, and any ttl."""
    short, long = sorted(draw(st.lists(st.integers(1, 4), min_size=2, max_size=2, unique=True)))
    longest = draw(st.sampled_from(["None", f"timedelta(hours={long * hours * 2})"]))
    ttl = draw(st.sampled_from(["None", "timedelta(0)", f"timedelta(hours={hours})", "timedelta(days=1)"]))
    return f"timedelta(hours={short * hours}), timedelta(hours={long * hours}), {longest}, {ttl}"


@st.composite
def _parts(draw: st.DrawFn, view: str, steps: int) -> list[Part]:
    """Cut a view's steps into at most three ranges."""
    cuts = sorted({0, steps, *draw(st.lists(st.integers(1, steps - 1), max_size=2))})
    return [Part(view=view, first=first, last=last) for first, last in pairwise(cuts)]


def _move(is_late: bool) -> st.SearchStrategy[Move]:
    """Draw an event before, in or at the edge of a step, ties and nulls among them."""
    nudges = st.sampled_from([0 * TICK, 0 * TICK, -TICK, TICK, 5 * HOUR])
    return st.builds(
        Move,
        at=st.builds(lambda hours, nudge: 2 * hours * HOUR + nudge, st.integers(-24, DAYS * 12 - 1), nudges),
        player=st.sampled_from(["a", "a", "a", "", "null"]),
        n=st.sampled_from([None, 0, 1, 2, 2, -7]),
        x=st.sampled_from([None, 0.0, 0.1, 0.1, -3.5, 1e6]),
        s=st.sampled_from([None, "", "a", "b"]),
        is_lost=st.sampled_from([False] * 12 + [True]),
        landing=st.sampled_from([0, 0, 0, 1, 2] if is_late else [0]),
    )
