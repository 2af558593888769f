"""The DAG that keeps up the tables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from featurestore.errors import SettingsError
from featurestore.orchestration.format import show_graphs
from featurestore.orchestration.graph import DagGraph
from featurestore.orchestration.project_graphs import project_graphs
from featurestore.orchestration.upkeep_graph import upkeep_graphs
from featurestore.settings import Settings, parse_settings
from tests.support.nodes import manifest_of
from tests.unit.orchestration.test_graph import shop

GOLDEN = Path(__file__).parents[2] / "golden" / "orchestration" / "shop_upkeep.txt"


def upkeep(tmp_path: Path, **options: object) -> tuple[DagGraph, ...]:
    settings = parse_settings({"project": "shop", "upkeep": options}, repo=tmp_path)
    return tuple(graph for graph in project_graphs(shop(), settings) if graph.dag_id == "shop__upkeep")


def test_graph_is_the_golden_one() -> None:
    text = show_graphs(upkeep_graphs(shop(), schedule="@daily", views_per_submit=4))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_every_view_with_or_without_a_schedule_has_its_own_task_and_missed_runs_are_left_out(tmp_path: Path) -> None:
    (graph,) = upkeep(tmp_path)
    assert sorted(graph.views) == ["ads", "ctr", "pushed", "rare", "recent", "summary", "users"]
    assert (str(graph.schedule), graph.catches_up) == ("30 3 * * *", False)


def test_its_schedule_is_a_setting_and_off_is_none(tmp_path: Path) -> None:
    assert [str(graph.schedule) for graph in upkeep(tmp_path, schedule="@weekly")] == ["0 0 * * 0"]
    assert upkeep(tmp_path, schedule="off") == ()
    with pytest.raises(SettingsError, match=r"schedule: 'often' is no schedule; valid are .*, and 'off' for none"):
        upkeep(tmp_path, schedule="often")
    assert upkeep_graphs(manifest_of(), schedule="@daily", views_per_submit=4) == ()


def test_a_submit_that_would_carry_one_view_is_left_out() -> None:
    (graph,) = upkeep_graphs(shop(), schedule="@daily", views_per_submit=1)
    assert graph.submits == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retention_days": 6}, "upkeep: retention_days: found 6; valid is a whole number from 7"),
        ({"history_days": 6}, r"history_days: found 6; valid is a whole number from 7 \(retention_days\), or none"),
        ({"history_days": 9, "retention_days": 10}, "history_days: found 9; valid is a whole number from 10"),
        ({"history_days": "30d"}, "upkeep: history_days: found '30d'; valid is a whole number from 7"),
        ({"min_small_files": True}, "upkeep: min_small_files: found True; valid is a whole number from 2"),
        ({"schedule": 3}, "upkeep: schedule: found 3; valid are a cron text and 'off'"),
        ({"often": True}, "upkeep: unknown often; valid are"),
    ],
)
def test_settings_that_would_delete_too_early_or_mean_nothing_are_refused(
    options: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_settings({"project": "shop", "upkeep": options}, repo=tmp_path)


def test_defaults(tmp_path: Path) -> None:
    assert parse_settings({"project": "shop", "upkeep": {"history_days": None}}, repo=tmp_path).upkeep == (
        found := Settings(repo=tmp_path, project="shop").upkeep
    )
    assert found.history_days is None
    assert (found.schedule, found.target_file_mb, found.min_small_files, found.retention_days) == (
        "30 3 * * *",
        128,
        16,
        7,
    )
