"""Whatever comes in, in whatever order: a lookup gives the function of the newest inputs, or a later statement."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from featurestore.ir.nodes import ViewNode
from tests.support.on_demand import written_node, written_world
from tests.support.serving import NOW
from tests.support.serving import field as feature
from tests.support.writing import writer_on

SECOND = timedelta(seconds=1)
KINDS = ("push amount", "push limit", "publish amount", "publish limit", "state inputs", "state output", "compute")


@dataclass(frozen=True)
class Happening:
    """One thing that is done for a user; ``created`` differs for all of them, so that no two stamps tie in full."""

    kind: str
    event: int
    created: int
    value: float


def happenings(seed: int, count: int, kinds: tuple[str, ...] = KINDS) -> list[Happening]:
    rng = random.Random(seed)
    created = rng.sample(range(count), count)
    return [
        Happening(rng.choice(kinds), rng.randint(0, 3), created[number], float(number + 1)) for number in range(count)
    ]


def at(event: int) -> datetime:
    return NOW - 10 * SECOND + event * SECOND


@dataclass
class Oracle:
    """All that was said so far; nothing is known of rows, digests or stamps but their order."""

    said: list[Happening] = field(default_factory=list)

    def newest(self, *endings: str, until: int | None = None) -> Happening | None:
        said = self.said if until is None else self.said[:until]
        found = [item for item in said if item.kind.endswith(endings)]
        return max(found, key=lambda item: (item.event, item.created), default=None)

    def value(self) -> float | None:
        amount, limit = self.newest("amount"), self.newest("limit")
        own = self.newest("inputs", "output", "compute")
        inputs = [(item.event, item.created) for item in (amount, limit) if item is not None]
        if own is not None and own.kind != "compute" and (own.event, own.created) >= max(inputs, default=(-1, -1)):
            if own.kind == "state output":
                return own.value
            seen = self.newest("limit", until=self.said.index(own))
            return None if seen is None else own.value * 1000 + seen.value
        return None if amount is None or limit is None else amount.value * 1000 + limit.value


class Doer:
    """Does the same to a store."""

    def __init__(self, **node: Any) -> None:
        self.world = written_world(written_node(**node))
        self.writer = writer_on(self.world)
        self.rest = {item.name: [0.0] for item in node.get("request", ())}

    def do(self, item: Happening) -> None:
        times = {"event_timestamp": [at(item.event)], "created_timestamp": [at(item.created)]}
        verb, _, what = item.kind.partition(" ")
        match verb:
            case "push":
                self.writer.write(f"{what}s", {"user_id": [1], what: [item.value], **times, **self.rest})
            case "publish":
                view: ViewNode = self.world.manifest.views[f"{what}s"]
                self.world.put(view, 1, {what: item.value}, event=at(item.event), created=at(item.created))
            case "state":
                is_finished = what == "output"
                column, rest = ("mixed", {}) if is_finished else ("amount", self.rest)
                frame = {"user_id": [1], column: [item.value], **times, **rest}
                self.writer.write("mixes", frame, transform=not is_finished)
            case _:
                self.writer.write("mixes", {"user_id": [1], **times, **self.rest})

    def value(self, **request: Any) -> float | None:
        answer = self.world.client.get_online_features(["mixes:mixed"], [{"user_id": 1, **request}])
        found: float | None = answer.to_dict()["mixed"][0]
        return found


@pytest.mark.parametrize("seed", range(40))
def test_a_lookup_gives_the_function_of_the_newest_inputs_or_a_later_statement(seed: int) -> None:
    oracle, doer = Oracle(), Doer()
    for item in happenings(seed, 8):
        oracle.said.append(item)
        doer.do(item)
        assert doer.value() == oracle.value(), oracle.said


@pytest.mark.parametrize("seed", range(10))
def test_with_request_values_a_lookup_computes_whatever_was_written(seed: int) -> None:
    oracle, doer = Oracle(), Doer(request=(feature("shift"),))
    for item in happenings(seed, 8):
        doer.do(item)
        if item.kind.endswith(("amount", "limit")):
            oracle.said.append(item)
    plain = oracle.value()
    assert doer.value(shift=0.25) == (None if plain is None else plain + 0.25)


@pytest.mark.parametrize("seed", range(12))
def test_any_order_of_the_same_rows_gives_the_same_value(seed: int) -> None:
    told = happenings(seed, 4, ("push amount", "push limit", "publish amount", "publish limit", "state output"))
    values = set()
    for order in itertools.permutations(told):
        doer = Doer()
        for item in order:
            doer.do(item)
        values.add(doer.value())
    assert len(values) == 1, told
