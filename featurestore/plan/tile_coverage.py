"""What a tile table holds, as its log tells it: which build has which columns of which tiles, right for which pin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from featurestore.plan.tile_ranges import Span, TileRange, Total, cut, joined

__all__ = [
    "Build",
    "Layer",
    "Pin",
    "StandingTotal",
    "Stretch",
    "TileCommit",
    "choose",
    "replay",
    "replay_totals",
    "standing",
    "to_build",
]

Pin: TypeAlias = Mapping[str, Any]
"""The state of a source, as ``SourcePin.state``."""

_TOTALS_OF_A_WINDOW = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Columns of tiles and of windows' totals that a build wrote: all keys that have events in them."""

    columns: frozenset[str]
    ranges: tuple[TileRange, ...]
    totals: tuple[Total, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TileCommit:
    """What one commit of a tile table says of itself; ``version`` is -1 until it is committed.

    ``pin`` is the state of the source that its rows were computed from. Of what versions up to ``seen`` had built,
    the tiles that touch ``changed`` are no longer right there, and all others are; None: none is known to be.
    """

    build: str
    seen: int
    pin: Pin
    changed: tuple[Span, ...] | None
    layers: tuple[Layer, ...]
    version: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One range of a layer: rows marked with ``build``, right for the source at ``pin``."""

    build: str
    columns: frozenset[str]
    tiles: TileRange
    pin: Pin
    version: int

    def unchanged(self, changed: Iterable[Span]) -> tuple[Stretch, ...]:
        """Give the parts whose tiles have no instant in common with ``changed``."""
        size = self.tiles.size
        touched = [(start // size * size, -(-end // size) * size) for start, end in changed]
        left = cut([self.tiles.span], touched)
        return tuple(replace(self, tiles=TileRange(size=size, start=start, end=end)) for start, end in left)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingTotal:
    """One total of a layer: rows marked with ``build``, right for the source at ``pin``."""

    build: str
    columns: frozenset[str]
    total: Total
    pin: Pin
    version: int

    def unchanged(self, changed: Iterable[Span]) -> tuple[StandingTotal, ...]:
        """Give the total if it has no instant in common with ``changed``."""
        return (self,) if cut([self.total.span], changed) == (self.total.span,) else ()


_Held = TypeVar("_Held", Stretch, StandingTotal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Tiles to compute: from stored tiles of size ``finer``, or from the source's events where it is None."""

    columns: frozenset[str]
    ranges: tuple[TileRange, ...]
    finer: int | None


def replay(commits: Iterable[TileCommit]) -> tuple[Stretch, ...]:
    """Read commits in order of version; give what holds after them, the newest first.

    What a commit did not see, because it was committed beside it, keeps its own pin.
    """
    held: list[Stretch] = []
    for commit in commits:
        held = [part for stretch in held for part in _after(stretch, commit)]
        added = [(layer.columns, tiles) for layer in commit.layers for tiles in layer.ranges]
        held += [
            Stretch(build=commit.build, columns=columns, tiles=tiles, pin=commit.pin, version=commit.version)
            for columns, tiles in added
        ]
    return tuple(reversed(held))


def _after(held: _Held, commit: TileCommit) -> Iterable[_Held]:
    if held.version > commit.seen:
        return (held,)
    if commit.changed is None:
        return ()
    return (replace(part, pin=commit.pin) for part in held.unchanged(commit.changed))


def replay_totals(commits: Iterable[TileCommit]) -> tuple[StandingTotal, ...]:
    """Read commits in order of version; give the totals that hold after them, the newest first.

    Of each window and its columns only the last few do: a run goes on from the newest, or from one of its own time.
    One that newer ones made superfluous stays so, whatever becomes of these.
    """
    held: list[StandingTotal] = []
    for commit in commits:
        held = [part for kept in held for part in _after(kept, commit)]
        added = [(layer.columns, total) for layer in commit.layers for total in layer.totals]
        held += [
            StandingTotal(build=commit.build, columns=columns, total=total, pin=commit.pin, version=commit.version)
            for columns, total in added
        ]
        for columns, total in added:
            same = [kept for kept in held if (kept.columns, kept.total.window) == (columns, total.window)]
            held = [kept for kept in held if kept not in same[:-_TOTALS_OF_A_WINDOW]]
    return tuple(reversed(held))


def standing(stretches: Iterable[Stretch], column: str, size: int) -> tuple[Span, ...]:
    """Give the spans in which a column's tiles of one size are there."""
    return joined(s.tiles.span for s in stretches if s.tiles.size == size and column in s.columns)


def to_build(
    required: Iterable[TileRange], columns: Iterable[str], stretches: Sequence[Stretch], *, unit: int
) -> tuple[tuple[Build, ...], tuple[Build, ...]]:
    """Plan the tiles that are lacking: those to compute first, and coarser ones that are then made of them.

    Tiles up to ``unit`` come from finer ones where all of them are there, else from events; coarser ones always from
    finer ones, and what these lack of tiles of size ``unit`` is computed first. So a new column, or a range that no
    view has asked for, is read from the source once; a longer window over known columns reads none of it.
    """
    needed = _by_size(required)
    first: dict[tuple[int | None, tuple[TileRange, ...]], set[str]] = {}
    then: dict[tuple[int | None, tuple[TileRange, ...]], set[str]] = {}
    for column in columns:
        have = {size: standing(stretches, column, size) for size in {s.tiles.size for s in stretches}}
        lacking = {size: cut(spans, have.get(size, ())) for size, spans in needed.items()}
        fine = {size: spans for size, spans in lacking.items() if size <= unit}
        units: list[Span] = list(fine.get(unit, ()))
        coarse: dict[int | None, list[TileRange]] = {}
        for size, spans in sorted(lacking.items()):
            if size > unit:
                rest = _from_finer(size, spans, {unit: (), **have}, unit, coarse)
                units += cut(rest, have.get(unit, ()))
                _put(coarse, unit, size, rest)
        fine[unit] = joined(units)
        made: dict[int | None, list[TileRange]] = {}
        for size, spans in sorted(fine.items()):
            _put(made, None, size, _from_finer(size, spans, have, None, made))
        for plan, parts in ((first, made), (then, coarse)):
            for finer, ranges in parts.items():
                plan.setdefault((finer, tuple(sorted(ranges))), set()).add(column)
    return _builds(first), _builds(then)


def _by_size(ranges: Iterable[TileRange]) -> dict[int, tuple[Span, ...]]:
    found: dict[int, list[Span]] = {}
    for tiles in ranges:
        found.setdefault(tiles.size, []).append(tiles.span)
    return {size: joined(spans) for size, spans in found.items()}


def _from_finer(
    size: int,
    spans: Iterable[Span],
    have: Mapping[int, tuple[Span, ...]],
    preferred: int | None,
    made: dict[int | None, list[TileRange]],
) -> tuple[Span, ...]:
    """Note which tiles can be made of finer ones that are there, the preferred size first; give the others."""
    rest = joined(spans)
    finer = [other for other in have if other < size and size % other == 0]
    for other in sorted(finer, key=lambda other: (other != preferred, -other)):
        inside: list[Span] = []
        for start, end in cut(rest, cut(rest, have[other])):
            whole = -(-start // size) * size, end // size * size
            inside += [whole] if whole[0] < whole[1] else []
        _put(made, other, size, inside)
        rest = cut(rest, inside)
    return rest


def _put(made: dict[int | None, list[TileRange]], finer: int | None, size: int, spans: Iterable[Span]) -> None:
    ranges = [TileRange(size=size, start=start, end=end) for start, end in joined(spans)]
    if ranges:
        made.setdefault(finer, []).extend(ranges)


def _builds(plan: Mapping[tuple[int | None, tuple[TileRange, ...]], set[str]]) -> tuple[Build, ...]:
    return tuple(
        Build(columns=frozenset(columns), ranges=ranges, finer=finer)
        for (finer, ranges), columns in sorted(plan.items(), key=lambda entry: (entry[0][0] or 0, entry[0][1]))
    )


def choose(
    required: Iterable[TileRange], columns: Iterable[str], stretches: Sequence[Stretch]
) -> Mapping[frozenset[str], tuple[tuple[str, TileRange], ...]]:
    """Say which build's rows to read for each tile: of several the newest, so that none is read twice.

    Columns that are read from the same rows are named together.
    """
    needed = _by_size(required)
    chosen: dict[tuple[tuple[str, TileRange], ...], set[str]] = {}
    for column in columns:
        parts: list[tuple[str, TileRange]] = []
        rest = dict(needed)
        for stretch in stretches:
            size = stretch.tiles.size
            if column not in stretch.columns or size not in rest:
                continue
            outside = cut(rest[size], [stretch.tiles.span])
            taken = cut(rest[size], outside)
            parts += [(stretch.build, TileRange(size=size, start=start, end=end)) for start, end in taken]
            rest[size] = outside
        chosen.setdefault(_merged(parts), set()).add(column)
    return {frozenset(names): parts for parts, names in chosen.items()}


def _merged(parts: Iterable[tuple[str, TileRange]]) -> tuple[tuple[str, TileRange], ...]:
    by_build: dict[tuple[str, int], list[Span]] = {}
    for build, tiles in parts:
        by_build.setdefault((build, tiles.size), []).append(tiles.span)
    return tuple(
        (build, TileRange(size=size, start=start, end=end))
        for (build, size), spans in sorted(by_build.items())
        for start, end in joined(spans)
    )
