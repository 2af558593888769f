"""How far a job is: counted in steps, estimated by history first and by its own rate then."""

from __future__ import annotations

from datetime import timedelta

import pytest

from featurestore.intervals import Interval
from featurestore.plan.cost import StepCost
from featurestore.plan.stages import ComputeStage, PublishStage, ScoreStage, Stage
from featurestore.runtime.pace import Pace
from tests.support.nodes import START


class Seconds:
    """A clock that stands until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def job(seconds: dict[str, float]) -> tuple[Pace, Seconds, list[str]]:
    day = Interval(START, START + timedelta(days=1))
    stages: list[Stage] = [
        *(ComputeStage(view="stats", interval=day, first=False, steps=steps) for steps in (4, 4, 2)),
        *(ScoreStage(view="score", interval=day, first=False) for _ in range(5)),
        PublishStage(view="stats"),
    ]
    said: list[str] = []
    clock = Seconds()
    costs = {view: StepCost(runs=1, seconds=took) for view, took in seconds.items()}
    pace = Pace(stages, costs, progress=lambda n, total, text: said.append(f"{n}/{total} {text}"), clock=clock)
    return pace, clock, said


def test_history_says_how_long_it_takes_and_the_own_rate_corrects_it() -> None:
    pace, clock, said = job({"stats": 2.0, "score": 4.0})
    assert (pace.steps, pace.estimated_seconds, pace.seconds_left()) == (15, 40.0, 40.0)
    clock.now += 4.0
    pace.settle("stats", 4)
    # Eight of forty estimated seconds took four: the rest takes half of its estimate too.
    assert pace.seconds_left() == pytest.approx(16.0)
    assert said == ["5/16 stats: 4 of 10 steps, 1 steps/s, about 16s left"]
    pace.settle("stats", 4)
    clock.now += 2.0
    pace.settle("stats", 2)
    assert len(said) == 2
    assert pace.to_dict() == {"steps": 15, "settled": 10, "steps_per_second": 1.6667, "estimated_seconds": 40.0}


def test_without_history_nothing_is_said_until_the_first_steps_are_settled() -> None:
    pace, clock, said = job({"stats": 2.0})
    assert pace.seconds_left() is None
    clock.now += 10.0
    pace.settle("stats", 4)
    assert pace.seconds_left() == pytest.approx(10.0 * 11 / 4)
    assert said == ["5/16 stats: 4 of 10 steps, 0.4 steps/s, about 28s left"]


def test_stages_and_publications_are_units_too() -> None:
    pace, _, said = job({})
    pace.settle("stats", 10)
    pace.settle("score", 5)
    pace.begin(PublishStage(view="stats"))
    pace.passed()
    assert said == ["16/16 publish stats"]
