"""Where a benchmark runs: folder, Redis server, contestants, and how much of everything."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

from benchmarks.data import VIEWS
from benchmarks.protocol import Contestant
from benchmarks.servers import SharedRedis, feast_python, running_redis

__all__ = ["SIZES", "Arena", "Size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured; ``turn_seconds`` is each contestant's turn in each of ``rounds``.

    ``rolled_events`` are a day's.
    """

    users: int
    rounds: int
    turn_seconds: float
    published_rows: int
    feast_rows: int
    publications: int
    cold_starts: int
    entities: int
    scored_rows: int
    simulated_requests: int
    rolled_events: int


SIZES = {
    "tiny": Size(
        users=20,
        rounds=1,
        turn_seconds=0.01,
        published_rows=0,
        feast_rows=0,
        publications=0,
        cold_starts=1,
        entities=200,
        scored_rows=0,
        simulated_requests=100,
        rolled_events=0,
    ),
    "small": Size(
        users=2_000,
        rounds=3,
        turn_seconds=0.5,
        published_rows=200_000,
        feast_rows=20_000,
        publications=2,
        cold_starts=3,
        entities=5_000,
        scored_rows=200_000,
        simulated_requests=20_000,
        rolled_events=20_000,
    ),
    "full": Size(
        users=10_000,
        rounds=9,
        turn_seconds=1.0,
        published_rows=1_000_000,
        feast_rows=50_000,
        publications=3,
        cold_starts=7,
        entities=10_000,
        scored_rows=1_000_000,
        simulated_requests=100_000,
        rolled_events=200_000,
    ),
}


class Arena:
    """One run. Contestants start when they are first asked for; ``with_feast`` False leaves the rival out.

    Plots go to the folder ``plots``, if there is one.
    """

    def __init__(self, folder: Path, size: Size, *, with_feast: bool = True, plots: Path | None = None) -> None:
        self.folder = folder
        self.size = size
        self.with_feast = with_feast
        self.plots = plots
        self._stack = ExitStack()
        self._loaded: set[tuple[str, str]] = set()

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def redis(self) -> SharedRedis:
        return self._stack.enter_context(running_redis(self.folder))

    @cached_property
    def ours(self) -> Contestant:
        """Our lookups, with all views of ``data`` applied."""
        started = self.start("benchmarks.ours.worker")
        started.call("open_store", folder=str(self.folder / "ours"), url=self.redis.url, views=list(VIEWS))
        return started

    @cached_property
    def feast(self) -> Contestant:
        """Feast, with all views of ``data`` applied."""
        started = self.start("benchmarks.feast.worker", feast_python())
        folder = str(self.folder / "feast")
        started.call("open_store", folder=folder, address=self.redis.address, views=list(VIEWS))
        return started

    def start(self, module: str, python: Path | None = None) -> Contestant:
        """Start a contestant that ends with the run."""
        log = self.folder / f"{module}.log"
        return self._stack.enter_context(Contestant(python or Path(sys.executable), module, log))

    def contestants(self) -> dict[str, Contestant]:
        """Give the sides that take part."""
        return {"ours": self.ours, "Feast": self.feast} if self.with_feast else {"ours": self.ours}

    def load(self, view: str) -> None:
        """Have all users' rows of a view in Redis, on every side."""
        for name, contestant in self.contestants().items():
            if (name, view) not in self._loaded:
                contestant.call("load", view=view, users=self.size.users)
                self._loaded.add((name, view))
