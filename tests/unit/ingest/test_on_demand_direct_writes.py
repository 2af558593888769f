"""Writes to an on-demand view itself: with its inputs, with finished features, or with its keys alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from featurestore.errors import FeatureNotFound, SchemaMismatch
from featurestore.spec.push import PushMode
from tests.support.on_demand import CALLS, amounts, limits, written_node, written_world
from tests.support.serving import NOW, World, field, ref
from tests.support.writing import problems_of, writer_on

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _no_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


def read(world: World) -> Any:
    return world.client.get_online_features(["mixes:mixed"], [{"user_id": 1}])


def mixed(world: World) -> Any:
    return read(world).to_dict()["mixed"][0]


def test_a_direct_write_takes_inputs_from_the_frame_and_the_rest_from_the_store() -> None:
    world = written_world()
    writer = writer_on(world)
    writer.write("limits", {"user_id": [1], "limit": [5.0], "event_timestamp": [NOW - HOUR]})
    world.store.reads.clear()
    result = writer.write("mixes", {"user_id": [1], "amount": [3.0]})
    assert (dict(result.views)["mixes"].written, len(world.store.reads)) == (1, 3)  # record, inputs, record
    CALLS.clear()
    answer = read(world)
    assert (answer.to_dict()["mixed"], answer.event_timestamps["mixed"], CALLS) == ([3005.0], [NOW], [])
    world.put(world.manifest.views["amounts"], 1, {"amount": 1.0}, event=NOW - HOUR)
    assert mixed(world) == 3005.0  # older than the statement
    world.put(world.manifest.views["amounts"], 1, {"amount": 2.0}, event=NOW + HOUR)
    assert mixed(world) == 2005.0


def test_a_direct_write_that_is_older_than_an_input_is_ignored() -> None:
    world = written_world()
    writer = writer_on(world)
    writer.write("amounts", {"user_id": [1], "amount": [1.0]})
    writer.write("limits", {"user_id": [1], "limit": [5.0]})
    frame = {"user_id": [1], "amount": [9.0], "event_timestamp": [NOW - HOUR]}
    assert (writer.write("mixes", frame).ignored, mixed(world)) == (1, 1005.0)


def test_a_statement_that_no_row_stands_against_may_be_too_old_all_the_same() -> None:
    world = written_world()
    world.put(world.manifest.views["amounts"], 1, {"amount": 1.0})
    frame = {"user_id": [1], "mixed": [9.0], "event_timestamp": [NOW - HOUR]}
    result = writer_on(world).write("mixes", frame, transform=False)
    assert (result.written, result.ignored, mixed(world)) == (0, 1, None)


@pytest.mark.parametrize("statement_first", [True, False])
def test_a_request_without_its_values_gets_what_was_written_where_nothing_can_be_computed(
    statement_first: bool,
) -> None:
    world = written_world(written_node(request=(field("shift"),)))
    frame = {"user_id": [1], "mixed": [9.0], "event_timestamp": [NOW - HOUR]}
    steps = [
        lambda: writer_on(world).write("mixes", frame, transform=False),
        lambda: world.put(world.manifest.views["amounts"], 1, {"amount": 1.0}),
    ]
    for step in steps if statement_first else reversed(steps):
        step()
    answer = read(world)
    assert (answer.to_dict()["mixed"], answer.event_timestamps["mixed"]) == ([9.0], [NOW - HOUR])
    assert answer.ages["mixed"] == [HOUR]


def test_a_direct_write_of_keys_computes_from_what_is_stored() -> None:
    world = written_world()
    world.put(world.manifest.views["amounts"], 1, {"amount": 1.0})
    world.put(world.manifest.views["limits"], 1, {"limit": 5.0})
    assert writer_on(world).write("mixes", {"user_id": [1]}).written == 1
    CALLS.clear()
    assert (mixed(world), CALLS) == (1005.0, [])
    world.put(world.manifest.views["limits"], 1, {"limit": 6.0}, event=NOW - HOUR, created=NOW)
    assert mixed(world) == 1005.0
    world.put(world.manifest.views["limits"], 1, {"limit": 6.0}, event=NOW, created=NOW + HOUR)
    assert mixed(world) == 1006.0


@pytest.mark.parametrize(
    ("frame", "transform", "column", "message"),
    [
        ({"amount": [1.0]}, True, "user_id", "the key column is missing"),
        ({"user_id": [1], "amont": [1.0]}, True, "amont", "did you mean 'amount'"),
        ({"user_id": [1], "mixed": [1.0]}, True, "mixed", "is computed by the function"),
        ({"user_id": [1], "amount": ["x"]}, True, "amount", "found 'x'"),
        ({"user_id": [1]}, False, "mixed", "missing; the features of 'mixes' are stored as one value"),
        ({"user_id": [1], "mixed": ["x"]}, False, "mixed", "found 'x'"),
        ({"mixed": [1.0]}, False, "user_id", "the key column of on-demand view 'mixes' is missing"),
    ],
)
def test_what_is_wrong_with_a_direct_write_is_told(
    frame: dict[str, Any], transform: bool, column: str, message: str
) -> None:
    world = written_world()
    with pytest.raises(SchemaMismatch) as caught:
        writer_on(world).write("mixes", frame, transform=transform)
    assert message in problems_of(caught.value)[column]
    assert world.store.writes == 0


def test_all_inputs_of_one_view_or_none() -> None:
    wide = amounts(features=(field("amount"), field("fee")))
    node = written_node(inputs=(ref("amounts", "amount"), ref("amounts", "fee"), ref("limits", "limit")))
    world = written_world(node, views=(wide, limits()))
    with pytest.raises(SchemaMismatch, match="has all inputs of view 'amounts' or none"):
        writer_on(world).write("mixes", {"user_id": [1], "amount": [1.0]})


def test_a_view_that_is_not_written_and_offline_writes_are_refused() -> None:
    world = written_world(written_node(write_to_online_store=False, join_keys=(), storage_id=0))
    with pytest.raises(FeatureNotFound, match="set write_to_online_store=True"):
        writer_on(world).write("mixes", {"user_id": [1]})
    with pytest.raises(FeatureNotFound, match=r"has no offline table: .* write to amounts, limits"):
        writer_on(written_world()).write("mixes", {"user_id": [1]}, to=PushMode.OFFLINE)
