"""Written on-demand features beside predictions, deletions, cached rows and a second live version."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from featurestore.codec.pointer import VersionRef
from featurestore.errors import FeatureNotFound
from featurestore.ingest.writer import OnlineWriter
from featurestore.ir.nodes import CodeRef, FieldNode, PredictionViewNode
from featurestore.serving.client import OnlineClient
from featurestore.serving.manifests import FixedManifests
from featurestore.spec.dtypes import Int64
from tests.support.on_demand import CALLS, USER, amounts, limits, written_node, written_world
from tests.support.serving import NOW, PROJECT, World, field, ref, scores
from tests.support.switchable import SwitchableModel
from tests.support.writing import writer_on

HOUR = timedelta(hours=1)
ITEM = FieldNode(name="item_id", dtype=Int64)


@pytest.fixture(autouse=True)
def _no_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


def mixed(world: World, user_id: int = 1, **columns: Any) -> Any:
    rows = [{"user_id": user_id, **columns}]
    return world.client.get_online_features(["mixes:mixed"], rows)["mixed"][0]


class Scored:
    """A prediction that reads the written features, made at write where it is asked for."""

    def __init__(self, **options_of_view: Any) -> None:
        options_of_view = {"inputs": (ref("mixes", "mixed"),), "attach_to": None, "storage_id": 7} | options_of_view
        view: PredictionViewNode = scores(**options_of_view)
        self.world = written_world(views=(amounts(), limits(), view))
        self.world.point("model_predictions", covered_until_us=None)
        manifests = FixedManifests(self.world.manifest)
        self.model = SwitchableModel()
        options: dict[str, Any] = {"manifests": manifests, "clock": self.world.clock}
        self.client = OnlineClient(self.world.store, PROJECT, predictor=self.model, deadline=5, **options)
        self.writer = OnlineWriter(self.world.store, PROJECT, infer=self.client.infer_rows, **options)

    def look(self) -> tuple[float | None, float | None, str]:
        answer = self.client.get_online_features(["mixes:mixed", "model_predictions:score"], [{"user_id": 1}])
        return answer["mixed"][0], answer["score"][0], str(answer.predictions["model_predictions"][0].status)


def test_predictions_that_read_the_features_are_made_of_the_inputs_just_written() -> None:
    shop = Scored()
    view = shop.world.manifest.prediction_views["model_predictions"]
    shop.writer.write("limits", {"user_id": [1], "limit": [5.0]})
    shop.writer.write("amounts", {"user_id": [1], "amount": [1.0]})
    assert [str(answer.status) for answer in shop.client.infer_rows(view, {"user_id": [1]})] == ["LIVE"]
    assert shop.look() == (1005.0, 10050.0, "CACHED")
    shop.writer.write("amounts", {"user_id": [1], "amount": [2.0], "event_timestamp": [NOW + timedelta(minutes=1)]})
    assert shop.look() == (2005.0, 20050.0, "LIVE")


def test_predictions_are_made_at_write_of_the_features_just_computed() -> None:
    shop = Scored(refresh=("on_schedule", "on_write"))
    shop.world.put(shop.world.manifest.views["limits"], 1, {"limit": 5.0})
    assert shop.writer.write("amounts", {"user_id": [1], "amount": [1.0]}).predicted == {"model_predictions": 1}
    assert shop.look() == (1005.0, 10050.0, "CACHED")


def test_a_model_gets_what_the_function_gives_for_stored_inputs_also_beside_a_statement() -> None:
    shop = Scored()
    shop.writer.write("limits", {"user_id": [1], "limit": [5.0]})
    shop.writer.write("amounts", {"user_id": [1], "amount": [1.0], "mixed": [42.0]}, transform=False)
    assert shop.look() == (42.0, 10050.0, "LIVE")


def test_a_function_runs_once_where_model_and_answer_need_it() -> None:
    shop = Scored()
    shop.world.put(shop.world.manifest.views["amounts"], 1, {"amount": 1.0})
    shop.world.put(shop.world.manifest.views["limits"], 1, {"limit": 5.0})
    assert shop.look() == (1005.0, 10050.0, "LIVE")
    assert CALLS == [1]


def test_deleting_an_entity_deletes_what_was_written_of_it() -> None:
    world = written_world()
    writer = writer_on(world)
    writer.write("mixes", {"user_id": [1, 2], "mixed": [8.0, 9.0]}, transform=False)
    result = writer.delete("amounts", [{"user_id": 1}])
    assert {name: count.written for name, count in result.views.items()} == {"amounts": 1, "mixes": 1}
    assert (mixed(world), mixed(world, 2)) == (None, 9.0)
    late = {"user_id": [1], "mixed": [8.0], "event_timestamp": [NOW - HOUR]}
    assert writer.write("mixes", late, transform=False).ignored == 1


def test_deleting_an_entity_finds_the_keys_that_it_is_a_part_of() -> None:
    views = (amounts(), limits(join_keys=(ITEM,), entities=("item",)))
    world = written_world(written_node(join_keys=(USER, ITEM)), views=views)
    writer = writer_on(world)
    frame = {"user_id": [1, 1, 2], "item_id": [4, 5, 4], "mixed": [1.0, 2.0, 3.0]}
    writer.write("mixes", frame, transform=False)
    result = writer.delete("amounts", [{"user_id": 1}])
    assert result.views["mixes"].written == 2
    assert [mixed(world, user, item_id=item) for user, item in ((1, 4), (1, 5), (2, 4))] == [None, None, 3.0]


def test_deleting_by_a_renamed_key() -> None:
    sender = FieldNode(name="sender_id", dtype=Int64)
    inputs = (ref("amounts", "amount", join_key_map=(("user_id", "sender_id"),)), ref("limits", "limit"))
    world = written_world(written_node(inputs=inputs, join_keys=(sender, USER)))
    writer = writer_on(world)
    frame = {"sender_id": [1, 2], "user_id": [2, 1], "mixed": [1.0, 2.0]}
    writer.write("mixes", frame, transform=False)
    assert writer.delete("amounts", [{"user_id": 1}]).views["mixes"].written == 1
    assert (mixed(world, 2, sender_id=1), mixed(world, 1, sender_id=2)) == (None, 2.0)


def test_deleting_the_features_alone_brings_back_what_the_function_gives() -> None:
    world = written_world()
    writer = writer_on(world)
    writer.write("limits", {"user_id": [1], "limit": [5.0]})
    writer.write("amounts", {"user_id": [1], "amount": [1.0], "mixed": [42.0]}, transform=False)
    result = writer.delete("mixes", [{"user_id": 1}])
    assert ({name: count.written for name, count in result.views.items()}, mixed(world)) == ({"mixes": 1}, 1005.0)


def test_of_several_statements_for_a_key_the_newest_stands() -> None:
    world = written_world()
    times = [NOW - HOUR, NOW, NOW - 2 * HOUR]
    frame = {"user_id": [1, 1, 1], "mixed": [1.0, 2.0, 3.0], "event_timestamp": times}
    result = writer_on(world).write("mixes", frame, transform=False)
    assert (result.written, result.ignored, mixed(world)) == (1, 2, 2.0)


def test_rows_read_a_moment_ago_agree_with_each_other() -> None:
    world = written_world()
    writer = writer_on(world)
    writer.write("limits", {"user_id": [1], "limit": [5.0]})
    writer.write("amounts", {"user_id": [1], "amount": [1.0]})

    def look(*features: str) -> dict[str, Any]:
        return world.client.get_online_features([*features], [{"user_id": 1}], max_cached_age=60).to_dict()

    assert look("mixes:mixed")["mixed"] == [1005.0]
    world.store._inner.delete([key for lot in world.store.scan(b"{*", lot=100) for key in lot])
    writer.write("amounts", {"user_id": [1], "amount": [2.0]})
    assert look("mixes:mixed", "amounts:amount") == {"user_id": [1], "mixed": [1005.0], "amount": [1.0]}


def test_a_write_to_a_view_with_two_live_versions_computes_from_the_served_one() -> None:
    newer = amounts(version=2, storage_id=5)
    world = written_world(views=(newer, limits()))
    older = amounts()
    world.point("amounts", version=1, storage_id=1, building=VersionRef(version=2, storage_id=5))
    manifests = FixedManifests(world.manifest, (older,))
    client = OnlineClient(world.store, PROJECT, manifests=manifests, clock=world.clock)
    writer = OnlineWriter(world.store, PROJECT, manifests=manifests, clock=world.clock)
    writer.write("limits", {"user_id": [1], "limit": [5.0]})
    writer.write("amounts", {"user_id": [1], "amount": [1.0]})
    CALLS.clear()
    assert (client.get_online_features(["mixes:mixed"], [{"user_id": 1}])["mixed"], CALLS) == ([1005.0], [])
    world.point("amounts", version=2, storage_id=5, building=None)
    assert (client.get_online_features(["mixes:mixed"], [{"user_id": 1}])["mixed"], CALLS) == ([1005.0], [1])


def test_a_served_version_without_an_input_leaves_the_features_to_lookups() -> None:
    newer = amounts(version=2, storage_id=5, features=(field("amount"), field("fee")))
    node = written_node(inputs=(ref("amounts", "fee"), ref("limits", "limit")))
    world = written_world(node, views=(newer, limits()))
    world.point("amounts", version=1, storage_id=1, building=VersionRef(version=2, storage_id=5))
    manifests = FixedManifests(world.manifest, (amounts(),))
    writer = OnlineWriter(world.store, PROJECT, manifests=manifests, clock=world.clock)
    result = writer.write("amounts", {"user_id": [1], "amount": [1.0], "fee": [2.0]})
    message = "'mixes:mixed' reads amounts:fee, which version 1 of 'amounts' lacks; that version is served until the "
    assert result.skipped["mixes"].startswith(message)
    client = OnlineClient(world.store, PROJECT, manifests=manifests, clock=world.clock)
    with pytest.raises(FeatureNotFound, match="which version 1 of 'amounts' lacks"):
        client.get_online_features(["mixes:mixed"], [{"user_id": 1}])


def test_pandas_and_python_functions_are_written_alike() -> None:
    for mode in ("pandas", "python"):
        code = CodeRef(path=f"tests.support.on_demand:mix_{mode}", digest="")
        world = written_world(written_node(code=code, mode=mode))
        writer = writer_on(world)
        writer.write("limits", {"user_id": [1, 2], "limit": [5.0, 6.0]})
        writer.write("amounts", {"user_id": [1, 2, 3], "amount": [1.0, 2.0, 3.0]})
        CALLS.clear()
        answer = world.client.get_online_features(["mixes:mixed"], {"user_id": [3, 2, 1]})
        assert (answer["mixed"], CALLS) == ([None, 2006.0, 1005.0], [])
