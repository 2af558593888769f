"""A day of traffic in a minute: how many requests need the model, and how old the answers are; with a plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arena import Arena
from benchmarks.figures import Figure, Goal, at_least, counted

__all__ = ["measure"]

_MAX_AGE_HOURS = 6
_PLOT = "traffic.png"


def measure(arena: Arena) -> Iterator[Figure]:
    """Play the day against a real Redis; a second lasts as long as 24 hours over the run's seconds."""
    size = arena.size
    seconds = size.simulated_requests / 400
    worker = arena.start("benchmarks.ours.repairs")
    worker.call(
        "open_store",
        folder=str(arena.folder / "traffic"),
        url=arena.redis.url,
        name="traffic",
        users=size.users,
        load="load",
        max_age_seconds=seconds * _MAX_AGE_HOURS / 24,
    )
    played = worker.call("day", users=size.users, requests=size.simulated_requests, seconds=seconds)
    answers: Sequence[tuple[float, str, float]] = played["answers"]
    live = sum(status == "LIVE" for _, status, _ in answers)
    ages = np.array([age for _, status, age in answers if status == "CACHED"]) * 24
    stale = sum(age > _MAX_AGE_HOURS for age in ages.tolist())
    if arena.plots is not None:
        draw(answers, arena.plots / _PLOT)
    yield at_least("model calls in a day of Zipf traffic", "a call for each request", live, len(answers), "calls")
    yield at_least("age of a cached answer, p50", "max_age", float(np.median(ages)), _MAX_AGE_HOURS, "h")
    yield counted("answers CACHED beyond max_age", stale, "answers", Goal(must=0))


def draw(answers: Sequence[tuple[float, str, float]], path: Path) -> None:
    """Plot the shares of statuses and the ages of cached answers over the day."""
    from matplotlib.figure import Figure as Plot

    hours = np.array([passed for passed, _, _ in answers]) * 24
    statuses = np.array([status for _, status, _ in answers])
    ages = np.array([age for _, _, age in answers]) * 24
    edges = np.linspace(0, 24, 49)
    middles, bins = (edges[:-1] + edges[1:]) / 2, np.digitize(hours, edges) - 1
    filled = [place for place in range(48) if (bins == place).any()]
    plot = Plot(figsize=(8, 6), layout="constrained")
    shares: Any
    staleness: Any
    shares, staleness = plot.subplots(2, 1, sharex=True)
    for status in sorted(set(statuses.tolist())):
        share = [100 * (statuses[bins == place] == status).mean() for place in filled]
        shares.plot(middles[filled], share, label=status)
    shares.set_ylabel("share of answers, %")
    shares.set_title("A day of Zipf traffic; 2 % of the users change every hour")
    shares.legend()
    cached = statuses == "CACHED"
    for quantile in (0.5, 0.95):
        known = [place for place in filled if (cached & (bins == place)).any()]
        values = [np.quantile(ages[cached & (bins == place)], quantile) for place in known]
        staleness.plot(middles[known], values, label=f"age of CACHED answers, p{quantile * 100:.0f}")
    staleness.axhline(_MAX_AGE_HOURS, linestyle="--", color="grey", label="max_age")
    staleness.set_xlabel("hour")
    staleness.set_ylabel("age, h")
    staleness.legend()
    plot.savefig(path, dpi=100)
