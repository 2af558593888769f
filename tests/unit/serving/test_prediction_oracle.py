"""Freshness of cached predictions against a naive reading of its three rules, whichever shortcut decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.codec.digest import inputs_digest
from featurestore.intervals import to_micros
from tests.support.serving import NOW, World, flags, ref, scores, user_data

HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
MAX_AGE = 30 * HOUR
GRACE = timedelta(minutes=15)
INSTANTS = st.sampled_from([NOW - HOUR, NOW - 2 * HOUR])
AGES = st.sampled_from([timedelta(0), HOUR, MAX_AGE, MAX_AGE + MICROSECOND, 90 * HOUR])


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """An entity's input rows, and its prediction with the headers that it was made of."""

    clicks_at: datetime | None
    flags_at: datetime | None
    predicted_ago: timedelta | None
    made_of: tuple[datetime | None, datetime | None] | None


@st.composite
def entities(draw: st.DrawFn) -> Entity:
    """Mostly rows that are there and predictions of just them, so that the shortcuts are taken."""
    absent = st.sampled_from([False] * 9 + [True])
    clicks = None if draw(absent) else draw(INSTANTS)
    other = None if draw(absent) else draw(INSTANTS)
    changed = draw(absent)
    return Entity(
        clicks_at=clicks,
        flags_at=other,
        predicted_ago=None if draw(absent) else draw(AGES),
        made_of=(draw(INSTANTS), draw(INSTANTS)) if changed else (clicks, other),
    )


def header(at: datetime | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    micros = np.array([0 if at is None else to_micros(at)])
    return np.array([at is not None]), micros, micros


def known_for(entity: Entity, stale_on: tuple[str, ...], scored: timedelta | None) -> timedelta:
    """Give how long ago the prediction was last known to be right; unread inputs count as unchanged."""
    assert entity.predicted_ago is not None
    if scored is None or ("inputs" in stale_on and entity.made_of != (entity.clicks_at, entity.flags_at)):
        return entity.predicted_ago
    return min(entity.predicted_ago, scored)


def expected(entity: Entity, stale_on: tuple[str, ...], scored: timedelta | None, pending: timedelta | None) -> str:
    if entity.predicted_ago is None:
        return "MISSING"
    if "age" in stale_on and known_for(entity, stale_on, scored) > MAX_AGE:
        return "STALE"
    is_changed = entity.made_of != (entity.clicks_at, entity.flags_at)
    waits = pending is not None and pending <= GRACE
    return "STALE" if "inputs" in stale_on and is_changed and not waits else "CACHED"


@settings(deadline=None)
@given(
    few=st.lists(entities(), min_size=1, max_size=3),
    repeats=st.sampled_from([1, 1, 30]),
    stale_on=st.sampled_from([(), ("age",), ("inputs",), ("age", "inputs"), ("age", "inputs", "version")]),
    scored=st.one_of(st.none(), AGES),
    pending=st.sampled_from([None, GRACE, GRACE + MICROSECOND]),
    is_uniform=st.booleans(),
)
def test_every_prediction_is_fresh_stale_or_missing_as_the_rules_say(
    few: list[Entity],
    repeats: int,
    stale_on: tuple[str, ...],
    scored: timedelta | None,
    pending: timedelta | None,
    is_uniform: bool,
) -> None:
    features, other = user_data(), flags()
    inputs = (ref("user_data", "click_through_rate"), ref("flags", "visits"))
    view = scores(inputs=inputs, on_stale="serve_stale", stale_on=stale_on, max_age=MAX_AGE, input_grace=GRACE)
    world = World(features, other, view)
    world.point(
        view.name,
        covered_until_us=None if scored is None else to_micros(NOW - scored),
        pending_since_us=None if pending is None else to_micros(NOW - pending),
    )
    chosen = few[:1] if is_uniform else few
    for user, entity in enumerate(chosen):
        if entity.clicks_at is not None:
            world.put(features, user, {"click_through_rate": 0.5}, event=entity.clicks_at)
        if entity.flags_at is not None:
            world.put(other, user, {"visits": 1}, event=entity.flags_at)
        if entity.predicted_ago is not None and entity.made_of is not None:
            digest = inputs_digest([header(at) for at in entity.made_of])
            values: dict[str, Any] = {"score": float(user), "inputs_digest": int(digest[0]), "inputs_timestamp": NOW}
            world.put(view, user, values, event=NOW, created=NOW - entity.predicted_ago)
    users = [user for _ in range(repeats) for user in range(len(chosen))]
    response = world.client.get_online_features(["model_predictions:score"], {"user_id": users})
    answers = response.predictions["model_predictions"]
    statuses = [expected(chosen[user], stale_on, scored, pending) for user in users]
    assert [str(answer.status) for answer in answers] == statuses
    assert response["score"] == [
        None if status == "MISSING" else float(user) for user, status in zip(users, statuses, strict=True)
    ]
    for user, answer in zip(users, answers, strict=True):
        if answer.age is not None:
            assert answer.age == known_for(chosen[user], stale_on, scored)
