"""Stored tiles of a run: build what its windows lack, then read the rest from the tile table."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from featurestore.engines.base import SourcePin
from featurestore.errors import StateError
from featurestore.intervals import Interval
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import Aggregations, DeltaSourceNode, FileSourceNode, SourceInput, ViewNode
from featurestore.ir.tiles import tile_location
from featurestore.plan.tile_coverage import (
    Layer,
    StandingTotal,
    Stretch,
    TileCommit,
    replay,
    replay_totals,
    to_build,
)
from featurestore.plan.tile_files import bytes_with
from featurestore.plan.tile_ranges import Span, joined
from featurestore.plan.tile_totals import TotalBuild
from featurestore.runtime.faults import FaultPoint, reach

if TYPE_CHECKING:
    from featurestore.engines.spark.engine import SparkEngine
    from featurestore.engines.spark.stored_tiles import StandingTiles
    from featurestore.stores.delta_tiles import DeltaTiles

__all__ = ["standing_tiles", "tiled_source"]

logger = logging.getLogger(__name__)

_ATTEMPTS = 8


def tiled_source(view: ViewNode, manifest: Manifest) -> FileSourceNode | DeltaSourceNode | None:
    """Give the event source whose tiles a view shares; None for a view that has none, and is computed from its input.

    That is a view without aggregations or schedule, one that reads another view, and one over a query's events.
    """
    transformation = view.transformation
    if not isinstance(transformation, Aggregations) or transformation.events is not None or view.schedule is None:
        return None
    match view.inputs:
        case (SourceInput(source=name),):
            source = manifest.sources[name]
        case _:
            return None
    if isinstance(source, FileSourceNode | DeltaSourceNode) and source.timestamp_field is not None:
        return source
    return None


def standing_tiles(
    view: ViewNode,
    source: FileSourceNode | DeltaSourceNode,
    interval: Interval,
    pin: SourcePin,
    *,
    engine: SparkEngine,
    tiles: DeltaTiles,
) -> StandingTiles:
    """Have all tiles of a run's windows in the table of its source and keys, right for the pinned source.

    A commit for what is lacking, and one for coarser tiles and totals that are made of it; a daily step has one for
    both. A crash after either loses nothing: the table's log says what is there, and the next call goes on from it.
    Where another run builds the same tiles meanwhile, each is read from one of the two builds.
    """
    from featurestore.engines.spark.engine import steps_of_run
    from featurestore.engines.spark.metrics import PassCounts
    from featurestore.engines.spark.stored_tiles import StandingTiles

    location = tile_location(view, source)
    work, built = engine.stored_tiles(view, source, pin), PassCounts()
    steps = steps_of_run(view, interval)
    for _ in range(_ATTEMPTS):
        log = tiles.log(location)
        version = log.version  # with what upkeep deleted: files of an older one may be gone
        stretches, totals, changed = _right(engine, source, pin, log.commits)
        files = cache(log.files)
        need = work.need(steps, totals, files)
        first, then = to_build(need.ranges, need.columns, stretches, unit=need.unit)
        builds = first or then
        if not builds and not need.totals:
            table = tiles.read(location, version)
            size = bytes_with(need.ranges, [base.total for base in need.bases.values()], files())
            return StandingTiles(work=work, table=table, stretches=stretches, bases=need.bases, size=size, built=built)
        ready = [total for total in need.totals if _stands(total, stretches, need.unit)]
        layers = [Layer(columns=build.columns, ranges=build.ranges) for build in builds]
        layers += [Layer(columns=build.columns, ranges=(), totals=(build.total,)) for build in ready]
        commit = TileCommit(build=uuid.uuid4().hex, seen=version, pin=pin.state, changed=changed, layers=tuple(layers))
        rows = work.rows(builds, ready, stretches, partial(tiles.read, location, version), built)
        tiles.append(rows, location, commit)
        count = sum(len(build.ranges) for build in builds)
        logger.info("%s %s: tiles of %d range(s) and %d total(s) built", view.name, interval, count, len(ready))
        reach(FaultPoint.TILED)
    raise StateError(
        f"{view.name} {interval}: the tiles at {location} are lacking after {_ATTEMPTS} builds; their source changes "
        "faster than they are built, run again when it is quiet",
        view=view.name,
        location=location,
    )


def _stands(total: TotalBuild, stretches: Sequence[Stretch], unit: int) -> bool:
    """Say whether all tiles that a total is made of are there."""
    return to_build([*total.added, *total.taken], total.columns, stretches, unit=unit) == ((), ())


def _right(
    engine: SparkEngine, source: FileSourceNode | DeltaSourceNode, pin: SourcePin, commits: Sequence[TileCommit]
) -> tuple[tuple[Stretch, ...], tuple[StandingTotal, ...], tuple[Span, ...] | None]:
    """Give the stretches and totals that are right for the pinned source, and the times changed since others' pins."""
    stretches, totals = replay(commits), replay_totals(commits)
    changed: list[Span] = []
    known: list[Mapping[str, object]] = []
    held = joined([*(stretch.tiles.span for stretch in stretches), *(kept.total.span for kept in totals)])
    for before in (*(stretch.pin for stretch in stretches), *(kept.pin for kept in totals)):
        if before in known:
            continue
        known.append(before)
        then = SourcePin(source=source.name, kind=pin.kind, state=before)
        times = () if before == pin.state else engine.changed_times(source, then, pin, held)
        if times is None:
            return (), (), None
        changed += times
    spans = joined(changed)
    right = tuple(part for stretch in stretches for part in stretch.unchanged(spans))
    return right, tuple(part for kept in totals for part in kept.unchanged(spans)), spans
