"""The task graph of a manifest: DAGs, carried submits, edges, ids."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import FeatureRef
from featurestore.ir.schedule import parse_schedule
from featurestore.orchestration.format import show_graphs
from featurestore.orchestration.graph import DagGraph, Stage, SubmitTask, ViewTask, build_graphs
from tests.support.nodes import START, aggregate_view, manifest_of, plain_view, prediction_view, reads

GOLDEN = Path(__file__).parents[2] / "golden" / "orchestration"


def ref(view: str, feature: str = "total") -> FeatureRef:
    return FeatureRef(view=view, feature=feature, alias=view)


def shop() -> Manifest:
    """Two daily views and a prediction that reads both, an hourly view that a daily one reads, an offline one."""
    return manifest_of(
        aggregate_view(name="ads"),
        aggregate_view(name="users", owner="growth"),
        aggregate_view(name="recent", schedule=parse_schedule("@hourly")),
        plain_view(name="summary", inputs=(reads("recent", "total"),), online=False),
        plain_view(name="rare", schedule=parse_schedule(timedelta(hours=6)), start=START + timedelta(hours=1)),
        plain_view(name="pushed", schedule=None),
        prediction_view(name="ctr", inputs=(ref("users"), ref("ads"))),
    )


def only(graphs: tuple[DagGraph, ...], view: str) -> DagGraph:
    return next(graph for graph in graphs if view in graph.views)


def view_task(graph: DagGraph, task_id: str) -> ViewTask:
    return next(task for task in graph.tasks() if isinstance(task, ViewTask) and task.id == task_id)


def submits(graph: DagGraph) -> list[SubmitTask]:
    return [task for task in graph.submits if isinstance(task, SubmitTask)]


@pytest.mark.parametrize("views_per_submit", [8, 1])
def test_graph_is_the_golden_one(views_per_submit: int) -> None:
    golden = GOLDEN / f"shop_{views_per_submit}_views_per_submit.txt"
    text = show_graphs(build_graphs(shop(), views_per_submit=views_per_submit))
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_every_edge_leads_to_a_task_and_no_task_waits_for_itself() -> None:
    views = [plain_view(name=f"v{number:02}", inputs=(reads(f"v{number // 2:02}"),)) for number in range(1, 40)]
    manifest = manifest_of(plain_view(name="v00"), *views, prediction_view(name="p", inputs=(ref("v17", "clicked"),)))
    (graph,) = build_graphs(manifest, views_per_submit=4)
    after = {task.id: set(task.after) for task in graph.tasks()}
    while ready := [task for task, waits in after.items() if not waits & after.keys()]:
        for task in ready:
            del after[task]
    assert after == {}, "a cycle"
    assert {len(submit.views) for submit in submits(graph) if submit.stage is Stage.MATERIALIZE} == {4}
    assert len(submits(graph)[-1].views) == 41, "one submit publishes the whole DAG"


def test_a_feature_view_that_reads_predictions_is_carried_by_a_later_submit() -> None:
    manifest = manifest_of(
        aggregate_view(name="stats"),
        aggregate_view(name="other"),
        prediction_view(name="score"),
        plain_view(name="after_a", inputs=(reads("score", "score"),)),
        plain_view(name="after_b", inputs=(reads("score", "score"), reads("other", "total"))),
    )
    (graph,) = build_graphs(manifest, views_per_submit=8)
    compute = [submit for submit in submits(graph) if submit.stage is Stage.MATERIALIZE]
    assert [submit.views for submit in compute] == [("stats", "other"), ("after_a", "after_b")]
    assert compute[1].after == ("score.predict", "other.materialize")


def test_a_submit_waits_for_inputs_that_other_submits_carry() -> None:
    chain = [plain_view(name=f"v{n}", inputs=(reads(f"v{n - 1}"),)) for n in range(1, 4)]
    (graph,) = build_graphs(manifest_of(plain_view(name="v0"), *chain), views_per_submit=2)
    assert [(s.views, s.after) for s in submits(graph)[:2]] == [
        (("v0", "v1"), ()),
        (("v2", "v3"), ("v1.materialize",)),
    ]
    assert view_task(graph, "v2.materialize").after == ("spark-submit.materialize_2_over", "v1.materialize")


def test_an_unrelated_view_changes_no_other_dag() -> None:
    before = build_graphs(manifest_of(aggregate_view(name="users")), views_per_submit=8)
    after = build_graphs(manifest_of(aggregate_view(name="users"), aggregate_view(name="ads")), views_per_submit=8)
    assert before[0] in after
    assert [graph.dag_id for graph in after] == ["shop__daily__ads", "shop__daily__users"]


def test_one_dag_per_schedule_carries_unconnected_views_together() -> None:
    daily, hourly = build_graphs(shop(), views_per_submit=8, one_dag_per_schedule=True)[0::2]
    assert (daily.dag_id, hourly.dag_id) == ("shop__daily", "shop__hourly")
    assert [submit.views for submit in submits(daily)] == [("ads", "summary", "users"), ("ads", "users", "ctr")]


def test_a_reader_or_a_younger_input_keeps_the_dag_id() -> None:
    younger = aggregate_view(name="a_younger", start=START + timedelta(days=1))
    reader = plain_view(name="a_reader", inputs=(reads("users", "total"), reads("a_younger", "total")))
    (graph,) = build_graphs(manifest_of(aggregate_view(name="users"), younger, reader), views_per_submit=8)
    assert graph.dag_id == "shop__daily__users"


def test_a_dag_starts_on_the_grid_at_the_earliest_start_of_its_views() -> None:
    graph = only(build_graphs(shop(), views_per_submit=8), "rare")
    assert graph.start == START + timedelta(hours=6)
    late = aggregate_view(name="late", start=datetime(2026, 3, 1, tzinfo=UTC))
    reader = plain_view(name="reader", inputs=(reads("late", "total"),), start=datetime(2026, 2, 1, tzinfo=UTC))
    assert build_graphs(manifest_of(late, reader), views_per_submit=8)[0].start == datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "slug"),
    [
        ("@daily", "daily"),
        ("0 * * * *", "hourly"),
        ("*/15 6-8 * * 1,3", "cron_anyper15_6to8_any_any_1and3"),
        (timedelta(hours=6), "every_6h"),
        (timedelta(days=1, hours=4), "every_1d_4h"),
    ],
)
def test_schedule_is_readable_in_the_dag_id(schedule: str | timedelta, slug: str) -> None:
    manifest = manifest_of(plain_view(schedule=parse_schedule(schedule)))
    assert build_graphs(manifest, views_per_submit=8)[0].dag_id == f"shop__{slug}__plain"


def test_a_view_without_schedule_or_start_has_no_dag() -> None:
    assert build_graphs(manifest_of(plain_view(schedule=None)), views_per_submit=8) == ()
    assert build_graphs(manifest_of(plain_view(start=None)), views_per_submit=8) == ()
