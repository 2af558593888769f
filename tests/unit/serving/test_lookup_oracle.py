"""Lookups against a naive reading of the rules, value by value: random rows, coverage, ages, duplicates and gaps."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.intervals import to_micros
from featurestore.ir.nodes import ViewNode
from featurestore.serving.aio import AsyncOnlineClient
from featurestore.serving.manifests import FixedManifests
from featurestore.stores.memory import MemoryOnlineStore
from featurestore.stores.memory_aio import AsyncMemoryOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.serving import NOW, PROJECT, Clock, World, flags, user_data

HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
USERS = range(6)
FEATURES = ["user_data:click_through_rate", "user_data:number_of_clicks", "flags:visits", "flags:tags", "flags:city"]
INSTANTS = st.one_of(
    st.sampled_from([-48 * HOUR, -24 * HOUR, -24 * HOUR - MICROSECOND, -HOUR, timedelta(0), HOUR]),
    st.timedeltas(min_value=-72 * HOUR, max_value=HOUR),
).map(lambda ago: NOW + ago)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was written last for a user."""

    values: dict[str, Any]
    event: datetime
    holds: bool
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One view's definition, coverage and rows."""

    ttl: timedelta | None
    on_expired: str
    covered_from: datetime | None
    covered_until: datetime | None
    earlier: tuple[datetime, datetime] | None
    rows: dict[int, Row]


def rows_of(values: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[int, Row]]:
    row = st.builds(
        Row, values=values, event=INSTANTS, holds=st.booleans(), deleted=st.sampled_from([False] * 5 + [True])
    )
    return st.dictionaries(st.sampled_from(USERS), row)


def cases(values: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Case]:
    return st.builds(
        Case,
        ttl=st.sampled_from([None, timedelta(0), HOUR, 24 * HOUR]),
        on_expired=st.sampled_from(["null", "serve"]),
        covered_from=st.one_of(st.none(), INSTANTS),
        covered_until=st.one_of(st.none(), INSTANTS),
        earlier=st.one_of(st.none(), st.tuples(INSTANTS, INSTANTS).map(sorted).map(tuple)),
        rows=rows_of(values),
    )


AGGREGATES = cases(
    st.fixed_dictionaries(
        {
            "click_through_rate": st.one_of(st.none(), st.floats(-1, 1)),
            "number_of_clicks": st.one_of(st.none(), st.integers(0, 9)),
        }
    )
)
PLAIN = cases(
    st.fixed_dictionaries(
        {
            "visits": st.one_of(st.none(), st.integers(-5, 5)),
            "tags": st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=3)),
            "city": st.one_of(st.none(), st.text(max_size=5)),
        }
    )
)


def expected(view: ViewNode, case: Case, user: int | None, feature: str) -> tuple[Any, str, datetime | None, Any]:
    """Give value, status, event time and age by the text of the contract."""
    row = None if user is None else case.rows.get(user)
    if row is None or row.deleted:
        return None, "NOT_FOUND", None, None
    holds = view.is_aggregate and row.holds
    known = row.event
    if holds and case.covered_until is not None and (case.covered_from is None or row.event > case.covered_from):
        known = max(known, case.covered_until)
    if holds and case.covered_until is not None and case.earlier and case.earlier[0] < row.event <= case.earlier[1]:
        known = case.earlier[1]
    age = NOW - known
    limit = case.ttl or None
    if limit is None and view.is_aggregate and not row.holds:
        limit = timedelta(days=7)
    value = row.values[feature]
    if limit is not None and age > limit:
        return value if case.on_expired == "serve" else None, "OUTSIDE_MAX_AGE", row.event, max(age, timedelta(0))
    return value, "NULL_VALUE" if value is None else "PRESENT", row.event, max(age, timedelta(0))


def stored(world: World, view: ViewNode, case: Case) -> None:
    for user, row in case.rows.items():
        world.put(view, user, row.values, event=row.event, holds=view.is_aggregate and row.holds, deleted=row.deleted)
    world.point(
        view.name,
        covered_from_us=None if case.covered_from is None else to_micros(case.covered_from),
        covered_until_us=None if case.covered_until is None else to_micros(case.covered_until),
        earlier_us=() if case.earlier is None else ((to_micros(case.earlier[0]), to_micros(case.earlier[1])),),
    )


@settings(deadline=None)
@given(
    one=AGGREGATES,
    two=PLAIN,
    users=st.lists(st.one_of(st.none(), st.sampled_from([*USERS, 99])), max_size=30),
    features=st.lists(st.sampled_from(FEATURES), min_size=1, unique=True),
)
def test_every_value_status_time_and_age_is_what_the_rules_say(
    one: Case, two: Case, users: list[int | None], features: list[str]
) -> None:
    clock = Clock()
    memory = MemoryOnlineStore(clock=clock)
    aggregate, plain = user_data(ttl=one.ttl, on_expired=one.on_expired), flags(ttl=two.ttl, on_expired=two.on_expired)
    world = World(aggregate, plain, store=CountingStore(memory))
    stored(world, aggregate, one)
    stored(world, plain, two)
    manifests = FixedManifests(world.manifest)
    concurrent = AsyncOnlineClient(
        AsyncMemoryOnlineStore(memory), world.store, PROJECT, manifests=manifests, clock=clock
    )
    for response in (
        world.client.get_online_features(features, {"user_id": users}),
        asyncio.run(concurrent.get_online_features(features, {"user_id": users})),
    ):
        answer, arrow = response.to_dict(), response.to_arrow()
        assert list(answer) == ["user_id", *(ref.partition(":")[2] for ref in features)]
        assert answer["user_id"] == users
        for ref in features:
            view, _, feature = ref.partition(":")
            node, case = (aggregate, one) if view == "user_data" else (plain, two)
            found = zip(
                answer[feature],
                map(str, response.statuses[feature]),
                response.event_timestamps[feature],
                response.ages[feature],
                strict=True,
            )
            wanted = [expected(node, case, user, feature) for user in users]
            assert list(found) == wanted
            assert arrow[feature].to_pylist() == [value for value, *_ in wanted]
