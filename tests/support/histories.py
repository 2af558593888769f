"""Generated source rows and the views that read them: many short histories, each a case of its own in the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Number
from typing import Any, TypeAlias

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from featurestore.compile.aggregates import output_dtype
from featurestore.engines.reference.feature_rows import Predicates
from featurestore.intervals import Interval
from featurestore.ir.nodes import (
    AggregationNode,
    Aggregations,
    DeltaSourceNode,
    FieldNode,
    FileSourceNode,
    Passthrough,
    ViewNode,
)
from featurestore.ir.schedule import ScheduleNode, parse_schedule
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import (
    Array,
    Bool,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    Timestamp,
)
from tests.support.engine_runs import fields, file_source, view_of

__all__ = ["COLUMNS", "KEYS", "PREDICATES", "SCENES", "Scene", "SourceRow", "generate_histories"]

SourceRow: TypeAlias = Mapping[str, Any]

KEYS = fields({"case": Int64, "user": String})
COLUMNS: dict[str, DType] = {
    "case": Int64,
    "user": String,
    "ts": Timestamp,
    "made": Timestamp,
    "n": Int64,
    "x": Float64,
    "s": String,
    "b": Bool,
    "d": Decimal(6, 2),
    "i": Int32,
    "f": Float32,
    "day": Date,
    "a": Array(Int64),
}
PREDICATES: Predicates = {
    "n > 1 OR s = 'a'": lambda row: _either(_over_one(row["n"]), None if row["s"] is None else row["s"] == "a"),
    "b": lambda row: row["b"],
}
_MICROSECOND = timedelta(microseconds=1)
_START = datetime(2026, 1, 5, tzinfo=UTC)
_WITH_K = (AggregationFunction.FIRST_K, AggregationFunction.LAST_K, AggregationFunction.TOP_K)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A view, the source it reads, and the runs that cover it: whole steps, in the order in which they ran."""

    view: ViewNode
    source: FileSourceNode | DeltaSourceNode
    runs: tuple[Interval, ...]
    starts: frozenset[datetime]
    """Where covered stretches begin."""
    steps: tuple[datetime, ...] = field(repr=False)
    """All step ends from before the coverage to after it."""


def _scene(
    schedule: str | timedelta,
    windows: tuple[timedelta | None, ...],
    columns: tuple[str, ...],
    runs: tuple[tuple[int, int], ...],
    *,
    stretches: tuple[int, ...] = (0,),
    made: bool = False,
    where: str | None = None,
    **view: Any,
) -> Scene:
    """Every function that takes a column, over each of the columns, the windows taken in turn."""
    grid = parse_schedule(schedule)
    items: list[AggregationNode] = []
    for function in AggregationFunction:
        for column in columns:
            dtype = output_dtype(function, COLUMNS[column])
            if dtype is not None:
                options: dict[str, Any] = {"k": 2 if function in _WITH_K else None, "dtype": dtype}
                options["percentile"] = 0.5 if function is AggregationFunction.APPROX_PERCENTILE else None
                options |= {
                    "window": windows[len(items) % len(windows)],
                    "where": where if len(items) % 3 == 1 else None,
                }
                items.append(AggregationNode(name=f"{function}_{column}", function=function, column=column, **options))
    items.append(
        AggregationNode(name="rows", function=AggregationFunction.COUNT, column=None, window=windows[0], dtype=Int64)
    )
    features = tuple(FieldNode(name=item.name, dtype=item.dtype) for item in items)
    steps = _steps(grid, before=6, after=max(end for _, end in runs) + 8)
    at = steps[6:]
    return Scene(
        view=view_of(
            {}, Aggregations(items=tuple(items)), join_keys=KEYS, features=features, schedule=grid, start=at[0], **view
        ),
        source=file_source(schema=fields(COLUMNS), created_timestamp_column="made" if made else None),
        runs=tuple(Interval(at[start], at[end]) for start, end in runs),
        starts=frozenset(at[start] for start in stretches),
        steps=steps,
    )


def _steps(schedule: ScheduleNode, *, before: int, after: int) -> tuple[datetime, ...]:
    steps = [schedule.floor(_START)]
    for _ in range(before):
        steps.insert(0, schedule.previous(steps[0]))
    for _ in range(after):
        steps.append(schedule.next(steps[-1]))
    return tuple(steps)


def _hours(*counts: float) -> tuple[timedelta, ...]:
    return tuple(timedelta(hours=count) for count in counts)


SCENES = {
    "every 5 minutes, created times": _scene(
        timedelta(minutes=5), _hours(1 / 12, 1 / 4), ("n", "x"), ((5, 12), (0, 5)), made=True
    ),
    "hourly with a hole, lifetime windows": _scene(
        timedelta(hours=1),
        (*_hours(1, 4), None),
        ("x", "s"),
        ((0, 5), (8, 11), (5, 6)),
        stretches=(0, 8),
        where="n > 1 OR s = 'a'",
        ttl=timedelta(hours=2),
    ),
    "uneven cron, other types": _scene(
        "0 0,6,18 * * *", _hours(6, 24), ("b", "d", "i", "f", "day", "a"), ((4, 9), (0, 4)), where="b"
    ),
    "daily": _scene(
        "@daily",
        _hours(24, 72, 168),
        ("n", "s"),
        ((3, 12), (0, 3)),
        made=True,
        where="b",
        ttl=timedelta(hours=36),
        data_delay=timedelta(hours=3),
    ),
}

_PLAIN = {name: COLUMNS[name] for name in ("x", "n", "s", "a")}
SCENES["plain rows, created times"] = replace(
    SCENES["daily"],
    view=view_of(
        _PLAIN,
        Passthrough(),
        join_keys=KEYS,
        schedule=SCENES["daily"].view.schedule,
        ttl=timedelta(hours=36),
        data_delay=timedelta(hours=3),
    ),
)


def generate_histories(scene: Scene, cases: int) -> list[SourceRow]:
    """Give the source rows of ``cases`` generated histories, told apart by the key's ``case``."""
    rows: list[SourceRow] = []
    drawn = 0

    @settings(
        max_examples=cases,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(_row(scene), min_size=1, max_size=8))
    def collect(history: list[SourceRow]) -> None:
        nonlocal drawn
        rows.extend({**row, "case": None if row["user"] == "no case" else drawn} for row in history)
        drawn += 1

    collect()
    return rows


def _row(scene: Scene) -> st.SearchStrategy[SourceRow]:
    """One event: often on a step's edge, often at the time of another, with values that tie."""
    inside = (scene.steps[1] - scene.steps[0]) / 3
    nudges = st.sampled_from([timedelta(0), timedelta(0), -_MICROSECOND, _MICROSECOND, inside])
    instants = st.builds(lambda step, nudge: step + nudge, st.sampled_from(scene.steps[:-8]), nudges)
    made = [scene.steps[0], scene.steps[0] + timedelta(seconds=1), scene.steps[-1]]
    return st.fixed_dictionaries(
        {
            "user": st.sampled_from(["a", "a", "a", "a", "", "null", None, "no case"]),
            "ts": instants,
            "made": _null_or(*made) if scene.view.is_aggregate else st.sampled_from(made),
            "n": _null_or(0, 1, 2, 2, -7, 2**60),
            "x": _null_or(0.0, -0.0, 0.1, 0.1, 0.2, 0.2, 1000.125, 1000.125, -3.5, -3.5, math.nan, math.inf),
            "s": _null_or("", "a", "b", "null", "Ä"),
            "b": _null_or(True, False),
            "d": _null_or(Number("0.01"), Number("-99.90"), Number("9999.99")),
            "i": _null_or(0, 1, -(2**31), 2**31 - 1),
            "f": _null_or(0.5, -0.0, 1.5, math.nan),
            "day": _null_or(date(2026, 1, 1), date(1969, 12, 31)),
            "a": _null_or([], [1], [1, None], [0, 5]),
        }
    )


def _null_or(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *values])


def _over_one(n: int | None) -> bool | None:
    return None if n is None else n > 1


def _either(left: bool | None, right: bool | None) -> bool | None:
    """OR of SQL: unknown unless a side is true or both are known."""
    if left is True or right is True:
        return True
    return None if left is None or right is None else False
