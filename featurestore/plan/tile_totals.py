"""Which windows of a run start from a kept total, and what it takes to bring that up to date.

Counts and integer sums can be taken away again. So a window's total at a step's start, for all keys, is the total that
was kept at an earlier instant, and the tiles that came in since, less those that fell out: as many rows whatever the
length of the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from featurestore.intervals import Interval, to_micros
from featurestore.plan.tile_coverage import StandingTotal
from featurestore.plan.tile_files import StoredFile, rows_in, rows_of
from featurestore.plan.tile_ranges import TileRange, Total, decompose, window_tiles

__all__ = ["TotalBuild", "TotalTiles", "plan_totals", "total_tiles"]

Window: TypeAlias = timedelta | None

_MICROSECOND = timedelta(microseconds=1)
_FEWEST_STEPS = 8
"""How many steps a window has that starts from a total: a shorter one has hardly more tiles than that takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalBuild:
    """A total to compute: its ``base`` and the tiles ``added`` since, less those ``taken``; all its tiles without."""

    columns: frozenset[str]
    total: Total
    base: StandingTotal | None
    added: tuple[TileRange, ...]
    taken: tuple[TileRange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalTiles:
    """What a window has beside its base: tiles that came and went up to the step's start, and within the step."""

    added: tuple[TileRange, ...]
    taken: tuple[TileRange, ...]
    new: tuple[TileRange, ...]
    expired: tuple[TileRange, ...]


def total_tiles(window: Window, step: Interval, base: int, sizes: Sequence[int]) -> TotalTiles:
    """Cut what a window has beside the total that stands at ``base``, not after the step's start."""
    start, end = to_micros(step.start), to_micros(step.end)

    def fallen(since: int, until: int) -> tuple[TileRange, ...]:
        length = None if window is None else window // _MICROSECOND
        return () if length is None else decompose((since - length, until - length), sizes)

    return TotalTiles(
        added=decompose((base, start), sizes),
        taken=fallen(base, start),
        new=decompose((start, end), sizes),
        expired=fallen(start, end),
    )


def plan_totals(
    windows: Mapping[Window, frozenset[str]],
    step: Interval,
    sizes: Sequence[int],
    standing: Iterable[StandingTotal],
    files: Sequence[StoredFile],
) -> tuple[Mapping[Window, StandingTotal], tuple[TotalBuild, ...]]:
    """Choose for each long window, by the columns that it needs, the total that it starts from.

    A total does as long as the tiles that came and went since have fewer rows than itself: so keeping one costs no
    more writing than there was news. Where none does, a new one is to be built at the step's start, from an older one
    or from the window's tiles, whichever have fewer rows.
    """
    chosen: dict[Window, StandingTotal] = {}
    builds: list[TotalBuild] = []
    start = to_micros(step.start)
    for window, columns in windows.items():
        if window is not None and window < _FEWEST_STEPS * (step.end - step.start):
            continue
        total = Total(window=None if window is None else window // _MICROSECOND, end=start)
        usable = [kept for kept in standing if kept.columns >= columns and _leads_to(kept.total, total, sizes)]
        base = max(usable, key=lambda kept: kept.total.end, default=None)
        all_tiles = window_tiles(window, step, sizes).at_start
        build = TotalBuild(columns=columns, total=total, base=None, added=all_tiles, taken=())
        if base is not None:
            beside = total_tiles(window, step, base.total.end, sizes)
            news, own = rows_in((*beside.added, *beside.taken), files), rows_of(base.total, files)
            if news <= own:
                chosen[window] = base
                continue
            if news + own < rows_in(all_tiles, files):
                build = TotalBuild(columns=columns, total=total, base=base, added=beside.added, taken=beside.taken)
        builds.append(build)
    return chosen, tuple(builds)


def _leads_to(kept: Total, wanted: Total, sizes: Sequence[int]) -> bool:
    """Say whether two totals of one window overlap, and what is between them consists of the view's tiles."""
    if kept.window != wanted.window or kept.end > wanted.end or kept.end % sizes[0]:
        return False
    return kept.window is None or kept.end > wanted.end - kept.window
