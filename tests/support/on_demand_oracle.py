"""What a written on-demand feature is, by an oracle that knows nothing of stored rows; and the same done to a store."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from featurestore.ir.nodes import ViewNode
from tests.support.counting_store import CountingStore
from tests.support.on_demand import written_node, written_world
from tests.support.serving import NOW
from tests.support.writing import writer_on

__all__ = ["KINDS", "Doer", "Happening", "Oracle", "happenings"]

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

    def __init__(self, *, store: CountingStore | None = None, **node: Any) -> None:
        self.world = written_world(written_node(**node), store=store)
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
