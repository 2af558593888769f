"""Tables and lookups after any order of steps: late rows, repairs, re-runs and restarts, against the oracle.

Each case is one project with many keys, each with a history of its own; Spark, Delta and Redis are real. After every
request all keys are looked up at instants around each end of their holding, and must get what the oracle answers from
the steps done so far; the same questions are put to the training-set join.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from featurestore import FeatureStore
from featurestore.engines.reference.events import Key
from featurestore.errors import ExitCode
from featurestore.intervals import UTC, Interval, utc_now
from featurestore.ir.nodes import DeltaSourceNode
from tests.support.agreement import answers_of, disagreements
from tests.support.batched import ONE_BATCH
from tests.support.project import Clock, Project
from tests.support.random_steps import DAYS, GAMES, MOVES, Model, Scenario, Step, definitions_of, scenarios

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]

MICROSECOND = timedelta(microseconds=1)


class World:
    """The project, the store opened on it, and the models of its views."""

    def __init__(self, project: Project, opener: Callable[..., FeatureStore], scenario: Scenario) -> None:
        self.end = datetime.combine(utc_now(), time(), UTC)
        self.covered = Interval(self.end - timedelta(days=DAYS), self.end)
        self.project, self.scenario, self._opener = project, scenario, opener
        self.clock = Clock(self.end)
        self.landed: list[dict[str, Any]] = []
        self.land(0)
        project.define(definitions_of(scenario, self.covered.start))
        self.store = opener(project, self.clock)
        self.store.apply()
        source = self.store.manifest.sources["moves"]
        assert isinstance(source, DeltaSourceNode)
        self.models = {name: Model(view=view, source=source) for name, view in self.store.manifest.views.items()}
        moves = enumerate(scenario.games)
        self.keys: list[Key] = [
            *sorted({(game, move.player) for game, all_ in moves for move in all_}),
            (GAMES, "none"),
        ]

    def land(self, number: int) -> None:
        """Let the events of a landing be there."""
        fresh = self.scenario.landing(number, self.covered.start)
        self.landed += fresh
        if fresh or number == 0:
            table = pa.Table.from_pylist(fresh, schema=MOVES)
            write_deltalake(self.project.root / "data" / "moves", table, mode="append")

    def steps(self) -> Iterator[Step]:
        """Give the scenario's work, a restart before every third step."""
        for number, part in enumerate(self.scenario.work):
            schedule = self.models[part.view].view.schedule
            assert schedule is not None
            steps = list(schedule.steps(self.covered))[part.first : part.last]
            yield Step(view=part.view, range=Interval(steps[0].start, steps[-1].end), restart=number % 3 == 2)

    def do(self, step: Step) -> None:
        if step.restart:
            self.store.close()
            self.store = self._opener(self.project, self.clock)
        result = self.store.materialize(step.range.start, step.range.end, [step.view], repair=step.repair)
        assert result.exit_code in (ExitCode.DONE, ExitCode.NOTHING_TO_DO), result.to_line()
        self.models[step.view].run(step, self.landed)

    def instants(self, model: Model) -> Iterator[datetime]:
        """Give times from now on at which rows end that were written, or held, at one of the last steps."""
        view = model.view
        assert view.schedule is not None
        lives = {life for life in (view.ttl, view.longest_window) if life}
        ends = [step.end for step in view.schedule.steps(self.covered)][-4:]
        yield from sorted(
            {self.end, self.end + 30 * timedelta(days=1)}
            | {moment for end in ends for life in lives for moment in (end + life, end + life + MICROSECOND)}
        )

    def check_online(self) -> None:
        """Look every key up at each instant, the clock being set to it."""
        for model in self.models.values():
            for now in self.instants(model):
                if now >= self.end:
                    self.clock.now = now
                    found = self._looked_up(model)
                    spine = [(key, now) for key in self.keys]
                    expected = answers_of(model.view, model.rows, spine, model.coverage)
                    self._agree(model, spine, expected, found, "online")
        self.clock.now = self.end

    def check_offline(self, rows: Callable[[Model], Sequence[Any]]) -> None:
        """Join the same instants, and every step end, to every key; ``rows`` says what the table has to say."""
        for model in self.models.values():
            if not model.done:  # it has no table yet
                continue
            assert model.view.schedule is not None
            inside = [step.end for step in model.view.schedule.steps(self.covered)]
            spine = [(key, at) for at in sorted({*inside, *self.instants(model)}) for key in self.keys]
            names = [f"{model.view.name}:{feature.name}" for feature in model.view.features]
            asked = {
                "game": [key[0] for key, _ in spine],
                "player": [key[1] for key, _ in spine],
                "event_timestamp": [at for _, at in spine],
            }
            joined = self.store.get_historical_features(asked, names, allow_missing=True).to_arrow()
            columns = [joined[feature.name].to_pylist() for feature in model.view.features]
            found = list(zip(*columns, strict=True))
            expected = answers_of(model.view, rows(model), spine, model.coverage)
            self._agree(model, spine, expected, found, "offline")

    def _agree(self, model: Model, spine: list[Any], expected: list[Any], found: list[Any], where: str) -> None:
        """Name what differs, and the moves of the first key of which something does."""
        differ = disagreements(model.view, spine, expected, found)[:3]
        moves = [row for row in self.landed if differ and (row["game"], row["player"]) == differ[0][1]]
        assert differ == [], (model.view.name, where, self.scenario.views[model.view.name], self.scenario.work, moves)

    def _looked_up(self, model: Model) -> list[tuple[Any, ...]]:
        asked = {"game": [key[0] for key in self.keys], "player": [key[1] for key in self.keys]}
        names = [feature.name for feature in model.view.features]
        answer = self.store.get_online_features([f"{model.view.name}:{name}" for name in names], asked)
        return list(zip(*(answer[name] for name in names), strict=True))


@pytest.mark.parametrize("is_late", [False, True], ids=["on time", "late rows and repairs"])
@ONE_BATCH
@given(drawn=st.data())
def test_every_answer_is_the_oracles_whatever_was_done_before(
    is_late: bool,
    project_maker: Callable[..., Project],
    store_opener: Callable[..., FeatureStore],
    drawn: st.DataObject,
) -> None:
    world = World(project_maker(), store_opener, drawn.draw(scenarios(is_late=is_late)))
    work = list(world.steps())
    for number, step in enumerate(work):
        if number == len(work) // 2:
            world.check_offline(lambda model: model.rows)
            world.land(1)
        world.do(step)
        world.check_online()
    world.land(2)
    for name in world.models if is_late else ():
        world.do(Step(view=name, range=world.covered, repair=True, restart=True))
        world.check_online()
    world.check_offline(lambda model: model.whole(world.landed, world.covered))
    for name in world.models:
        again = world.store.materialize(world.covered.start, world.end, [name])
        assert again.exit_code is ExitCode.NOTHING_TO_DO, again.to_line()
