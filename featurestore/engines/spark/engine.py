"""The Spark engine: a view's transformation over its pinned inputs, as one lazy DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import reduce
from typing import TypeAlias, assert_never

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.engines.base import ComputedStep, ComputeRequest, SourcePin
from featurestore.engines.spark.changed_times import changed_times
from featurestore.engines.spark.events import QueriedEvents
from featurestore.engines.spark.inputs import Input, parent_input
from featurestore.engines.spark.metrics import PassCounts
from featurestore.engines.spark.pins import pin_source
from featurestore.engines.spark.rows import conformed, only_keys, unique, with_keys
from featurestore.engines.spark.sources import read_source
from featurestore.engines.spark.step_ends import created_of, end_among
from featurestore.engines.spark.stored_tiles import StandingTiles, StoredTiles
from featurestore.engines.spark.tiles import Inputs, hop_micros, read_events, tiles_of_events
from featurestore.engines.spark.transformations import run_function, run_sql
from featurestore.engines.spark.window_steps import Steps
from featurestore.engines.spark.windows import changed_rows
from featurestore.errors import DefinitionError, Problem, StateError
from featurestore.intervals import Interval
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import (
    Aggregations,
    DeltaSourceNode,
    FileSourceNode,
    FunctionTransformation,
    InputNode,
    Passthrough,
    SourceInput,
    SourceNode,
    SqlTransformation,
    ViewNode,
)
from featurestore.plan.tile_ranges import Span

__all__ = ["SparkEngine", "steps_of_run"]

_MICROSECOND = timedelta(microseconds=1)
_UserCode: TypeAlias = SqlTransformation | FunctionTransformation


class SparkEngine:
    """Compute rows of feature views; nothing is written, and nothing runs before the rows are evaluated.

    ``sources`` finds a source node by name; ``resolve`` makes a definition's path absolute; ``parents`` gives the
    current rows of another view: join keys, event_timestamp, then at least its features.
    """

    def __init__(
        self,
        spark: SparkSession,
        *,
        sources: Callable[[str], SourceNode],
        resolve: Callable[[str], str],
        parents: Callable[[str], DataFrame],
    ) -> None:
        self._spark = spark
        self._sources = sources
        self._resolve = resolve
        self._parents = parents

    def pin(self, source: SourceNode) -> SourcePin:
        """Name the present state of a source, without a Spark job where it has a path."""
        return pin_source(self._spark, source, resolve=self._resolve)

    def stored_tiles(self, view: ViewNode, source: FileSourceNode | DeltaSourceNode, pin: SourcePin) -> StoredTiles:
        """Give what can be computed of the tiles that a view of one event source shares."""
        return StoredTiles(view, source, lambda: self._opened(source, pin))

    def changed_times(
        self,
        source: FileSourceNode | DeltaSourceNode,
        before: SourcePin,
        after: SourcePin,
        held: Sequence[Span],
    ) -> tuple[Span, ...] | None:
        """Give the times, in microseconds, whose rows may differ between two pins; None where that cannot be told."""
        return changed_times(self._spark, source, before, after, held=held, resolve=self._resolve)

    def compute(
        self, request: ComputeRequest[DataFrame], *, stored: StandingTiles | None = None
    ) -> ComputedStep[DataFrame]:
        """Compute one run; its metrics are ``rows_read`` (not for SQL and functions) and ``null_keys_dropped``.

        With ``stored`` tiles the source's rows are not read, and ``tiles_read`` is counted.
        """
        view, counts = request.view, PassCounts()
        if stored is not None:
            return self._from_tiles(request, stored, counts)
        inputs = [self._open(entry, request) for entry in view.inputs]
        match view.transformation:
            case Passthrough():
                rows, event_range = self._passthrough(request, inputs, counts)
            case Aggregations() as aggregations:
                rows, event_range = self._aggregated(request, inputs, aggregations, counts)
            case SqlTransformation() | FunctionTransformation() as code:
                rows, event_range = self._user_code(request, inputs, code, counts)
            case _:
                assert_never(view.transformation)
        raw = next((i.within(request.interval.start, request.interval.end) for i in inputs if i.is_event_source), None)
        keys = None if view.user_code is not None else request.keys
        return ComputedStep(rows=rows, raw=raw, event_range=event_range, metrics=counts.read, keys=keys)

    def _from_tiles(
        self, request: ComputeRequest[DataFrame], stored: StandingTiles, counts: PassCounts
    ) -> ComputedStep[DataFrame]:
        view, interval = request.view, request.interval
        changed = stored.changed_rows(steps_of_run(view, interval), first=request.first, counts=counts)
        changed = only_keys(view, changed, request.keys)
        stamped = changed.withColumn(CREATED_TIMESTAMP, created_of(request, F.col(EVENT_TIMESTAMP)))
        raw = None
        if any(rule.on == "input" for rule in view.expectations):
            (events,) = (self._open(entry, request) for entry in view.inputs)
            raw = events.within(interval.start, interval.end)
        return ComputedStep(
            rows=conformed(view, stamped),
            raw=raw,
            event_range=_after(interval),
            metrics=lambda: {"rows_read": 0, "null_keys_dropped": 0, **stored.built.read(), **counts.read()},
            keys=request.keys,
        )

    def _open(self, entry: InputNode, request: ComputeRequest[DataFrame]) -> Input:
        if not isinstance(entry, SourceInput):
            return parent_input(entry, self._parents(entry.view))
        source = self._sources(entry.source)
        if not isinstance(source, FileSourceNode | DeltaSourceNode):
            message = f"{type(source).__name__} {entry.source!r} has no batch rows; read its batch source"
            raise DefinitionError([Problem(location="inputs", object=request.view.name, message=message)])
        return self._opened(source, request.pins[source.name])

    def _opened(self, source: FileSourceNode | DeltaSourceNode, pin: SourcePin) -> Input:
        frame = read_source(self._spark, source, pin, resolve=self._resolve)
        created = source.created_timestamp_column
        return Input(name=source.name, frame=frame, timestamp=source.timestamp_field, created=created)

    def _passthrough(
        self, request: ComputeRequest[DataFrame], inputs: list[Input], counts: PassCounts
    ) -> tuple[DataFrame, Interval]:
        view, (events,) = request.view, inputs
        steps = _steps(view, request.interval)
        read = only_keys(view, events.within(request.interval.start, request.interval.end), request.keys)
        frame = _stamped(read, events, request, steps)
        wanted = [*(key.name for key in view.join_keys), EVENT_TIMESTAMP, CREATED_TIMESTAMP]
        wanted += [feature.name for feature in view.features]
        rows = with_keys(view, frame.select(*map(quote, wanted)), counts)
        return unique(view, conformed(view, rows)), request.interval

    def _aggregated(
        self, request: ComputeRequest[DataFrame], inputs: list[Input], aggregations: Aggregations, counts: PassCounts
    ) -> tuple[DataFrame, Interval]:
        view, items = request.view, aggregations.items
        events = self._events(view, aggregations, inputs)
        if events.timestamp is None:
            message = f"aggregations need a source with a timestamp_field; {inputs[0].name!r} has none"
            raise DefinitionError([Problem(location="inputs", object=view.name, message=message)])
        steps = steps_of_run(view, request.interval)
        placed = Steps.of(steps, items, first=request.first, sizes=(hop_micros(view),))
        lookback = view.longest_window
        oldest = None if lookback is None else steps[0].start - lookback
        frame = with_keys(view, only_keys(view, events.within(oldest, request.interval.end), request.keys), counts)
        names = Inputs.of(items, frame.schema, None)
        read = read_events(
            frame,
            keys=[key.name for key in view.join_keys],
            timestamp=events.timestamp,
            created=events.created,
            inputs=names,
        )
        changed = changed_rows(tiles_of_events(read, names.columns(), placed.ranges), placed)
        stamped = changed.withColumn(CREATED_TIMESTAMP, created_of(request, F.col(EVENT_TIMESTAMP)))
        return conformed(view, stamped), _after(request.interval)

    def _events(self, view: ViewNode, aggregations: Aggregations, inputs: list[Input]) -> Input | QueriedEvents:
        query = aggregations.events
        if query is None:
            return inputs[0]
        code = query.transformation
        return QueriedEvents(view=view, query=query, inputs=inputs, run=lambda frames: self._call(view, code, frames))

    def _user_code(
        self, request: ComputeRequest[DataFrame], inputs: list[Input], code: _UserCode, counts: PassCounts
    ) -> tuple[DataFrame, Interval]:
        view = request.view
        has_snapshots = any(part.keys for part in inputs) and any(part.is_event_source for part in inputs)
        steps = steps_of_run(view, request.interval) if code.per == "step" else _steps(view, request.interval)
        is_stepwise = code.per == "step" or code.lookback is not None or has_snapshots
        ranges = steps if is_stepwise else (request.interval,)
        results = [self._run(view, code, inputs, part) for part in ranges]
        event_source = next((part for part in inputs if part.timestamp is not None), None)
        has_time = _has_time(results[0], event_source)
        if not has_time and code.per == "row":
            message = f"a row-wise query gives the event time; found columns {results[0].columns}, none of them a time"
            raise DefinitionError([Problem(location="transformation", object=view.name, message=message)])
        stamped = []
        for frame, part in zip(results, ranges, strict=True):
            timed = frame if has_time else frame.withColumn(EVENT_TIMESTAMP, F.lit(part.end))
            rows = conformed(view, _stamped(timed, event_source, request, (part,) if is_stepwise else steps))
            at = F.col(EVENT_TIMESTAMP)
            stamped.append(rows.where((at >= F.lit(part.start)) & (at < F.lit(part.end))) if has_time else rows)
        rows = with_keys(view, reduce(DataFrame.unionByName, stamped), counts, total="rows_computed")
        return unique(view, rows), request.interval if has_time else _after(request.interval)

    def _run(self, view: ViewNode, code: _UserCode, inputs: list[Input], step: Interval) -> DataFrame:
        start = step.start
        if code.lookback is not None:
            start = (step.start if code.per == "row" else step.end) - code.lookback
        has_events = any(part.is_event_source for part in inputs)
        frames = {
            part.name: part.as_of(step.end)
            if part.keys and (code.per == "step" or has_events)
            else part.within(start, step.end)
            for part in inputs
        }
        return self._call(view, code, frames)

    def _call(self, view: ViewNode, code: _UserCode, frames: Mapping[str, DataFrame]) -> DataFrame:
        if isinstance(code, SqlTransformation):
            return run_sql(self._spark, view.name, code.text, frames)
        return run_function(view.name, code.code, frames)


def steps_of_run(view: ViewNode, interval: Interval) -> tuple[Interval, ...]:
    """Cut a run into the view's steps; StateError where it is not made of whole ones."""
    steps = _steps(view, interval)
    if view.schedule is not None and tuple(view.schedule.steps(interval)) != steps:
        raise StateError(
            f"view {view.name!r}: {interval} is not made of whole steps of its schedule {view.schedule}; "
            "compute from one step end to another",
            view=view.name,
        )
    return steps


def _steps(view: ViewNode, interval: Interval) -> tuple[Interval, ...]:
    """Cut a run into its steps; what is no row of whole steps is one part."""
    steps = () if view.schedule is None else tuple(view.schedule.steps(interval))
    is_whole = bool(steps) and (steps[0].start, steps[-1].end) == (interval.start, interval.end)
    return steps if is_whole else (interval,)


def _after(interval: Interval) -> Interval:
    """Give the range of step ends: after the interval's start, its end included."""
    return Interval(interval.start + _MICROSECOND, interval.end + _MICROSECOND)


def _has_time(frame: DataFrame, events: Input | None) -> bool:
    names = {name.lower() for name in frame.columns}
    return EVENT_TIMESTAMP in names or (
        events is not None and events.timestamp is not None and events.timestamp.lower() in names
    )


def _stamped(
    frame: DataFrame, events: Input | None, request: ComputeRequest[DataFrame], steps: Sequence[Interval]
) -> DataFrame:
    """Add event_timestamp and created_timestamp: the frame's own, else the source's columns, else by its step."""
    names = {name.lower() for name in frame.columns}
    if EVENT_TIMESTAMP not in names and events is not None and events.timestamp is not None:
        frame = frame.withColumn(EVENT_TIMESTAMP, F.col(quote(events.timestamp)))
    by_step = created_of(request, end_among(F.col(EVENT_TIMESTAMP), steps))
    own = events is not None and events.created is not None and events.created.lower() in names
    if own and events is not None and events.created is not None:
        stamp = F.coalesce(F.col(quote(events.created)).cast("timestamp"), by_step)
        return frame.withColumn(CREATED_TIMESTAMP, stamp)
    if CREATED_TIMESTAMP in names:
        return frame
    return frame.withColumn(CREATED_TIMESTAMP, by_step)
