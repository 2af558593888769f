"""References and services resolved into rows to read; unknown and colliding names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from featurestore.errors import FeatureNameCollision, FeatureNotFound
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import OnDemandViewNode, ServiceNode
from featurestore.retrieval.plan import OnDemandOutput, PredictionOutput, RequestArgument, StoredArgument, StoredOutput
from featurestore.retrieval.planner import plan_request
from featurestore.retrieval.versions import ManifestVersions
from featurestore.spec.dtypes import Int64
from tests.support.nodes import manifest_of
from tests.support.serving import field, flags, recency, ref, scores, user_data

CTR = "user_data:click_through_rate"


def manifest() -> Manifest:
    other = user_data(name="seller_data", storage_id=7)
    hidden = flags(name="hidden", online=False, storage_id=8)
    services = {
        "pair": ServiceNode(
            name="pair",
            features=(
                ref("user_data", "click_through_rate", alias="sender", join_key_map=(("user_id", "sender_id"),)),
                ref("user_data", "click_through_rate", alias="receiver", join_key_map=(("user_id", "receiver_id"),)),
            ),
        ),
        "scored": ServiceNode(
            name="scored",
            features=(
                ref("model_predictions", "score", join_key_map=(("user_id", "sender_id"),)),
                ref("flags", "city"),
            ),
        ),
    }
    views = (user_data(), flags(), other, hidden, scores())
    return manifest_of(*views, on_demand_views={"recency": recency()}, services=services)


def test_features_of_one_view_are_one_read_however_often_they_are_named() -> None:
    plan = plan_request(manifest(), [CTR, "user_data:number_of_clicks", CTR])
    assert [(read.view.name, read.columns) for read in plan.reads] == [("user_data", ("user_id",))]
    assert [(type(output), output.name, output.ref) for output in plan.outputs] == [
        (StoredOutput, "click_through_rate", CTR),
        (StoredOutput, "number_of_clicks", "user_data:number_of_clicks"),
    ]
    assert plan.key_columns == ("user_id",)


def test_an_on_demand_feature_brings_its_stored_inputs_and_request_fields() -> None:
    plan = plan_request(manifest(), ["recency:seconds_since"])
    assert [read.view.name for read in plan.reads] == ["flags"]
    assert [output.name for output in plan.outputs] == ["seconds_since"]
    assert isinstance(plan.outputs[0], OnDemandOutput)
    assert [field.name for field in plan.request_fields] == ["now"]
    assert [type(argument) for argument in plan.calls[0].arguments] == [StoredArgument, StoredArgument, RequestArgument]


class Online(ManifestVersions):
    """As a lookup plans: what is written of on-demand views is read."""

    def is_written(self, view: OnDemandViewNode) -> bool:
        return view.write_to_online_store


def with_recency(**overrides: Any) -> Manifest:
    node = recency(write_to_online_store=True, join_keys=flags().join_keys, storage_id=11, **overrides)
    return replace(manifest(), on_demand_views={"recency": node})


def test_a_lookup_reads_what_was_written_of_an_on_demand_view_and_a_training_set_does_not() -> None:
    found = with_recency()
    online = plan_request(found, ["recency:seconds_since"], versions=Online(found))
    assert [read.view.name for read in online.reads] == ["flags", "recency"]
    assert (online.calls[0].row, online.calls[0].reads) == (1, (0,))
    assert ([f.name for f in online.request_fields], [f.name for f in online.optional_fields]) == ([], ["now"])
    offline = plan_request(found, ["recency:seconds_since"])
    assert [read.table_view.name for read in offline.reads] == ["flags"]
    assert ([f.name for f in offline.request_fields], offline.calls[0].row) == (["now"], None)


@pytest.mark.parametrize(
    "names", [("recency:seconds_since", "scored:score"), ("scored:score", "recency:seconds_since")]
)
def test_a_model_computes_its_on_demand_inputs_so_it_needs_the_request(names: tuple[str, ...]) -> None:
    inputs = (ref("flags", "visits"), ref("recency", "seconds_since"))
    found = with_recency()
    view = scores(name="scored", inputs=inputs, attach_to=None, on_stale="infer", request=())
    found = replace(found, prediction_views={"scored": view})
    plan = plan_request(found, names, versions=Online(found))
    assert ([f.name for f in plan.request_fields], [f.name for f in plan.optional_fields]) == (["now"], [])
    assert [plan.reads[call.row].view.name for call in plan.calls if call.row is not None] == ["recency"]
    alone = plan_request(found, ["scored:score"], versions=Online(found))
    assert [read.view.name for read in alone.reads] == ["scored", "flags"]


def test_no_version_of_an_on_demand_view_can_be_chosen() -> None:
    with pytest.raises(FeatureNotFound, match="its function is the applied one; ask for recency:seconds_since"):
        plan_request(manifest(), ["recency@1:seconds_since"])


def test_a_prediction_brings_the_rows_its_digest_covers() -> None:
    plan = plan_request(manifest(), ["model_predictions:score", "user_data:model_predictions"])
    assert [(type(output), output.name) for output in plan.outputs] == [
        (PredictionOutput, "score"),
        (PredictionOutput, "model_predictions"),
    ]
    [prediction] = plan.predictions
    assert [plan.reads[index].view.name for index in prediction.inputs] == ["user_data"]
    assert [argument.name for argument in prediction.arguments] == ["click_through_rate", "number_of_clicks"]


def test_a_prediction_that_ignores_its_inputs_reads_only_its_own_row() -> None:
    view = scores(stale_on=("age",), on_stale="serve_stale")
    plan = plan_request(manifest_of(user_data(), view), ["model_predictions:score"])
    assert [read.view.name for read in plan.reads] == ["model_predictions"]


def test_a_service_may_use_one_view_twice_under_other_names() -> None:
    plan = plan_request(manifest(), "pair", full_feature_names=True)
    assert [output.name for output in plan.outputs] == ["sender__click_through_rate", "receiver__click_through_rate"]
    assert plan.key_columns == ("sender_id", "receiver_id")
    with pytest.raises(FeatureNameCollision, match=r"'sender:click.*' and 'receiver:click.*' would both be named"):
        plan_request(manifest(), "pair")


def test_renamed_keys_reach_a_predictions_inputs() -> None:
    plan = plan_request(manifest(), "scored")
    assert [(read.view.name, read.columns) for read in plan.reads] == [
        ("model_predictions", ("sender_id",)),
        ("user_data", ("sender_id",)),
        ("flags", ("user_id",)),
    ]


def test_inputs_of_one_name_get_full_names() -> None:
    view = scores(inputs=(ref("user_data", "click_through_rate"), ref("seller_data", "click_through_rate")))
    made = replace(manifest(), prediction_views={view.name: view})
    [prediction] = plan_request(made, ["model_predictions:score"]).predictions
    names = [argument.name for argument in prediction.arguments]
    assert names == ["user_data__click_through_rate", "seller_data__click_through_rate"]


def test_two_features_of_one_name_collide_unless_named_in_full() -> None:
    features = [CTR, "seller_data:click_through_rate"]
    with pytest.raises(
        FeatureNameCollision, match=r"'user_data:click.*' and 'seller_data:click.*full_feature_names=True"
    ):
        plan_request(manifest(), features)
    plan = plan_request(manifest(), features, full_feature_names=True)
    assert plan.names[CTR] == "user_data__click_through_rate"


def test_a_feature_named_like_a_key_collides() -> None:
    view = flags(features=(field("user_id", Int64),))
    with pytest.raises(FeatureNameCollision, match="named like the key column 'user_id'"):
        plan_request(manifest_of(view), ["flags:user_id"])


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("user_date:click_through_rate", "no view 'user_date': did you mean 'user_data'"),
        ("user_data:click_rate", "no feature 'click_rate': did you mean 'click_through_rate'"),
        ("user_data:model_prediction", "no feature 'model_prediction': did you mean 'model_predictions'"),
        ("recency:seconds", "no feature 'seconds': did you mean 'seconds_since'"),
        ("model_predictions:points", "no feature 'points': valid are score"),
        ("user_data@9:click_through_rate", "version 9 of view 'user_data' is not readable; version 1 is served"),
        ("hidden:city", "view 'hidden' is not served online"),
        ("click_through_rate", "write view:feature"),
        ("user_data:a:b", "write view:feature"),
    ],
)
def test_an_unknown_name_is_met_with_what_there_is(reference: str, message: str) -> None:
    with pytest.raises(FeatureNotFound, match=message):
        plan_request(manifest(), [reference])


def test_a_view_that_is_not_served_is_read_offline() -> None:
    plan = plan_request(manifest(), ["hidden:city"], offline=True)
    assert [(read.view.name, read.columns) for read in plan.reads] == [("hidden", ("user_id",))]


def test_an_unknown_service_is_met_with_what_there_is() -> None:
    with pytest.raises(FeatureNotFound, match="no feature service 'pairs': did you mean 'pair'"):
        plan_request(manifest(), "pairs")


def test_a_pinned_version_that_is_served_is_read() -> None:
    plan = plan_request(manifest(), ["user_data@1:click_through_rate"], full_feature_names=True)
    assert plan.outputs[0].name == "user_data@1__click_through_rate"
