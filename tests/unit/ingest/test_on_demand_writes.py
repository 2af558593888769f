"""On-demand views that are written: computed once with the inputs of a frame, served as long as those stand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from featurestore.codec.keys import index_key
from featurestore.errors import EntityKeyMissing, OnDemandFailed, SchemaMismatch
from featurestore.ir.nodes import CodeRef, FieldNode
from featurestore.spec.dtypes import Int64
from tests.support.on_demand import CALLS, USER, amounts, limits, written_node, written_world
from tests.support.serving import NOW, World, field, ref
from tests.support.writing import problems_of, writer_on

HOUR = timedelta(hours=1)
SHIFTED = {"request": (field("shift"),)}


@pytest.fixture(autouse=True)
def _no_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


def read(world: World, *features: str, user_id: int = 1, **columns: Any) -> Any:
    rows = [{"user_id": user_id, **columns}]
    return world.client.get_online_features(list(features or ["mixes:mixed"]), rows)


def mixed(world: World, user_id: int = 1, **columns: Any) -> Any:
    return read(world, user_id=user_id, **columns).to_dict()["mixed"][0]


def test_a_write_to_a_source_view_computes_once_for_the_frame_and_lookups_do_not() -> None:
    world = written_world()
    writer = writer_on(world)
    writer.write("limits", {"user_id": [1, 2], "limit": [5.0, 6.0]})
    CALLS.clear()
    result = writer.write("amounts", {"user_id": [1, 2, 3], "amount": [1.0, 2.0, 3.0]})
    assert CALLS == [3]
    assert {name: count.written for name, count in result.views.items()} == {"amounts": 3, "mixes": 3}
    answer = world.client.get_online_features(["mixes:mixed"], {"user_id": [1, 2, 3, 4]})
    assert answer.to_dict()["mixed"] == [1005.0, 2006.0, None, None]
    assert [str(status) for status in answer.statuses["mixed"]] == ["PRESENT", "PRESENT", "NULL_VALUE", "NULL_VALUE"]
    assert answer.event_timestamps["mixed"] == [NOW, NOW, NOW, None]
    assert CALLS == [3, 1]  # only for the row that was never written


def test_a_lookup_is_one_round_trip_and_reads_one_key_more_a_row() -> None:
    world = written_world()
    writer_on(world).write("amounts", {"user_id": [1], "amount": [1.0]})
    mixed(world)
    world.store.reads.clear()
    mixed(world)
    read(world, "amounts:amount", "limits:limit")
    assert world.store.reads == [1 + 3, 1 + 2]


def test_a_write_that_concerns_no_such_view_takes_no_more_round_trips() -> None:
    plain, written = World(amounts(), limits()), written_world()
    counts = []
    for world in (plain, written):
        writer = writer_on(world)
        writer.write("amounts", {"user_id": [1], "amount": [1.0]})
        world.store.reads.clear()
        world.store.writes = 0
        writer.write("amounts", {"user_id": [1], "amount": [2.0]})
        counts.append((len(world.store.reads), world.store.writes))
    assert counts == [(2, 1), (3, 2)]  # the inputs are read at once, and one more view is written


def test_a_newer_input_that_came_otherwise_makes_the_lookup_compute() -> None:
    world = written_world()
    writer_on(world).write("limits", {"user_id": [1], "limit": [5.0], "event_timestamp": [NOW - 2 * HOUR]})
    writer_on(world).write("amounts", {"user_id": [1], "amount": [1.0], "event_timestamp": [NOW - HOUR]})
    world.put(world.manifest.views["limits"], 1, {"limit": 7.0}, event=NOW - 2 * HOUR, created=NOW)
    CALLS.clear()
    assert mixed(world) == 1007.0
    assert CALLS == [1]


def test_an_expired_input_is_null_as_it_is_in_training() -> None:
    world = written_world(views=(amounts(ttl=HOUR), limits()))
    writer = writer_on(world)
    writer.write("limits", {"user_id": [1], "limit": [5.0]})
    writer.write("amounts", {"user_id": [1], "amount": [1.0]})
    assert mixed(world) == 1005.0
    world.clock.now = NOW + 2 * HOUR
    assert mixed(world) is None


def test_rows_that_are_older_than_the_stored_say_nothing() -> None:
    world = written_world()
    writer = writer_on(world)
    writer.write("limits", {"user_id": [1], "limit": [5.0]})
    writer.write("amounts", {"user_id": [1], "amount": [2.0]})
    result = writer.write("amounts", {"user_id": [1], "amount": [1.0], "event_timestamp": [NOW - HOUR]})
    assert {name: (count.written, count.ignored) for name, count in result.views.items()} == {
        "amounts": (0, 1),
        "mixes": (0, 1),
    }
    CALLS.clear()
    assert mixed(world) == 2005.0
    assert CALLS == []


def test_a_replay_mends_what_a_crash_between_the_two_writes_left() -> None:
    world = written_world()
    writer = writer_on(world)
    frame = {"user_id": [1], "amount": [1.0], "event_timestamp": [NOW], "created_timestamp": [NOW]}
    writer.write("limits", {"user_id": [1], "limit": [5.0]})
    World.put(world, world.manifest.views["amounts"], 1, {"amount": 1.0}, event=NOW, created=NOW)
    result = writer.write("amounts", frame)
    assert (result.views["amounts"].ignored, result.views["mixes"].written) == (1, 1)
    assert (writer.write("amounts", frame).written, mixed(world)) == (0, 1005.0)


def test_several_rows_of_one_key_compute_the_newest() -> None:
    world = written_world()
    writer = writer_on(world)
    writer.write("limits", {"user_id": [1], "limit": [5.0]})
    times = [NOW - HOUR, NOW, NOW - 2 * HOUR]
    result = writer.write("amounts", {"user_id": [1, 1, 1], "amount": [1.0, 2.0, 3.0], "event_timestamp": times})
    assert (result.views["mixes"].written, result.views["mixes"].ignored) == (1, 2)
    CALLS.clear()
    assert (mixed(world), CALLS) == (2005.0, [])


def test_a_failing_function_writes_nothing_at_all() -> None:
    world = written_world(written_node(code=CodeRef(path="tests.support.on_demand:failing", digest="")))
    frame = {"user_id": [1, None], "amount": [1.0, 2.0]}
    with pytest.raises(OnDemandFailed, match=r"'mixes' .* raised ZeroDivisionError: no amounts"):
        writer_on(world).write("amounts", frame, on_invalid="dead_letter")
    assert world.store.writes == 0
    assert writer_on(world).dead_letters() == []
    assert read(world, "amounts:amount").to_dict()["amount"] == [None]


def test_invalid_rows_are_set_aside_and_not_computed() -> None:
    world = written_world()
    frame = {"user_id": [1, None, 3], "amount": [1.0, 2.0, "much"]}
    result = writer_on(world).write("amounts", frame, on_invalid="dead_letter")
    assert (CALLS, result.dead_lettered, result.views["mixes"].written) == ([1], 2, 1)


def test_request_fields_must_be_columns_of_the_frame() -> None:
    world = written_world(written_node(**SHIFTED))
    with pytest.raises(SchemaMismatch) as caught:
        writer_on(world).write("amounts", {"user_id": [1], "amount": [1.0]})
    message = problems_of(caught.value)["shift"]
    assert message.startswith("missing; the function of on-demand view 'mixes' needs it when its features are written")
    assert world.store.writes == 0


def test_request_values_of_the_request_count_else_those_of_the_write() -> None:
    world = written_world(written_node(**SHIFTED))
    writer = writer_on(world)
    writer.write("limits", {"user_id": [1], "limit": [5.0], "shift": [0.0]})
    writer.write("amounts", {"user_id": [1], "amount": [1.0], "shift": [0.25]})
    CALLS.clear()
    assert (mixed(world), CALLS) == (1005.25, [])
    assert (mixed(world, shift=0.5), CALLS) == (1005.5, [1])
    world.put(world.manifest.views["limits"], 1, {"limit": 7.0}, event=NOW + HOUR)
    assert mixed(world) == 1007.25
    answer = read(world, user_id=2)
    assert (answer.to_dict()["mixed"], [str(s) for s in answer.statuses["mixed"]]) == ([None], ["NOT_FOUND"])


def test_some_of_the_request_fields_are_an_error() -> None:
    world = written_world(written_node(request=(field("shift"), field("scale"))))
    with pytest.raises(EntityKeyMissing, match=r"lacks 'scale', which on-demand view 'mixes' needs beside 'shift'"):
        read(world, shift=1.0)


def test_finished_features_are_written_as_they_are() -> None:
    world = written_world()
    frame = {"user_id": [1], "amount": [1.0], "mixed": [42.0]}
    with pytest.raises(SchemaMismatch, match="is computed by the function of on-demand view 'mixes'"):
        writer_on(world).write("amounts", frame)
    result = writer_on(world).write("amounts", frame, transform=False)
    assert ({name: count.written for name, count in result.views.items()}, CALLS) == ({"amounts": 1, "mixes": 1}, [])
    assert (mixed(world), CALLS) == (42.0, [])
    world.put(world.manifest.views["limits"], 1, {"limit": 7.0}, event=NOW + HOUR)
    assert mixed(world) == 1007.0


def test_without_transform_and_without_finished_features_the_lookup_computes() -> None:
    world = written_world()
    writer = writer_on(world)
    writer.write("limits", {"user_id": [1], "limit": [5.0]})
    CALLS.clear()
    result = writer.write("amounts", {"user_id": [1], "amount": [1.0]}, transform=False)
    assert (list(result.views), CALLS) == (["amounts"], [])
    assert mixed(world) == 1005.0


def test_a_view_of_two_entities_is_left_to_lookups_where_the_frame_lacks_a_key() -> None:
    item = FieldNode(name="item_id", dtype=Int64)
    views = (amounts(), limits(join_keys=(item,), entities=("item",)))
    world = written_world(written_node(join_keys=(USER, item)), views=views)
    writer = writer_on(world)
    result = writer.write("amounts", {"user_id": [1], "amount": [1.0]})
    assert (dict(result.skipped), CALLS) == ({"mixes": "the frame lacks its join key item_id"}, [])
    assert writer.write("limits", {"item_id": [4], "user_id": [1], "limit": [5.0]}).views["mixes"].written == 1
    CALLS.clear()
    assert (mixed(world, item_id=4), CALLS) == (1005.0, [])
    assert mixed(world, item_id=5) is None


def test_an_input_by_another_key_column() -> None:
    sender = FieldNode(name="sender_id", dtype=Int64)
    node = written_node(
        inputs=(ref("amounts", "amount", join_key_map=(("user_id", "sender_id"),)), ref("limits", "limit")),
        join_keys=(sender, USER),
    )
    world = written_world(node)
    writer = writer_on(world)
    writer.write("amounts", {"user_id": [7], "amount": [2.0]})
    writer.write("limits", {"user_id": [1], "sender_id": [7], "limit": [5.0]})
    CALLS.clear()
    assert (mixed(world, sender_id=7), CALLS) == (2005.0, [])


def test_rows_are_indexed_so_that_gc_finds_them() -> None:
    world = written_world()
    writer_on(world).write("amounts", {"user_id": [1, 2], "amount": [1.0, 2.0]})
    assert sum(len(lot) for lot in world.store.members(index_key(1, 9))) == 2


def test_another_version_of_an_input_makes_what_was_written_not_hold() -> None:
    world = written_world()
    writer = writer_on(world)
    writer.write("limits", {"user_id": [1], "limit": [5.0]})
    writer.write("amounts", {"user_id": [1], "amount": [1.0], "event_timestamp": [NOW], "created_timestamp": [NOW]})
    newer = amounts(version=2, storage_id=5)
    switched = written_world(views=(newer, limits()), store=world.store)
    switched.put(newer, 1, {"amount": 1.0}, event=NOW, created=NOW)
    CALLS.clear()
    assert (mixed(switched), CALLS) == (1005.0, [1])


@pytest.mark.parametrize("frame", [{"user_id": [], "amount": []}, {"user_id": [None], "amount": [1.0]}])
def test_a_frame_without_valid_rows_computes_nothing(frame: dict[str, list[Any]]) -> None:
    world = written_world()
    result = writer_on(world).write("amounts", frame, on_invalid="dead_letter")
    assert (result.written, result.dead_lettered, CALLS) == (0, len(frame["user_id"]), [])
    assert world.client.get_online_features(["mixes:mixed"], []).to_dict() == {"user_id": [], "mixed": []}
