"""The log of served predictions on its way to Delta: exactly once, whoever dies, and readable at every moment."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from featurestore.codec.served import served_schema
from featurestore.errors import ExitCode, FeatureNotFound, SettingsError
from featurestore.ir.nodes import PredictionViewNode
from featurestore.ir.served import served_landing, served_location
from featurestore.runtime import served
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.served import append_served, read_served
from featurestore.runtime.upkeep import upkeep_views
from featurestore.serving.served_files import ServedFiles
from featurestore.settings import parse_settings
from featurestore.spec.dtypes import Int64
from tests.support.nodes import manifest_of
from tests.support.serving import NOW, field, scores, user_data

HOUR = timedelta(hours=1)
VIEW = scores()
BUMPED = scores(version=2, fingerprint="b" * 32, features=(field("score"), field("rank", Int64)))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[RuntimeContext]:
    context = RuntimeContext(parse_settings({"project": "shop", "online_store": {"type": "memory"}}, repo=tmp_path))
    context.__dict__["manifest"] = manifest_of(user_data(), BUMPED)
    yield context
    context.close()


def land(context: RuntimeContext, *numbers: int, view: PredictionViewNode = VIEW, shadow: bool = False) -> None:
    """Land a file with a row for each number: user and score, served so many hours after NOW."""
    rows = [
        {
            "user_id": number,
            "score": float(number),
            "served_at": NOW + number * HOUR,
            "served_request": f"r{number}",
            "served_row": 0,
            "served_status": "CACHED",
            "is_shadow": shadow,
        }
        for number in numbers
    ]
    root = context.settings.offline_root
    ServedFiles(root, Path(root) / "spool").write(
        served_landing(view), pa.Table.from_pylist(rows, schema=served_schema(view))
    )


def users(context: RuntimeContext, *, start: int = -1000, end: int = 1000) -> list[int]:
    table = read_served(context, "model_predictions", NOW + start * HOUR, NOW + end * HOUR).to_arrow()
    found: list[int] = table["user_id"].to_pylist()
    return found


def test_landed_rows_are_read_before_and_after_they_are_appended(context: RuntimeContext) -> None:
    land(context, 2, 1)
    land(context, 3)
    assert users(context) == [1, 2, 3]
    assert append_served(context) == {"model_predictions": 3}
    land(context, 4)
    assert users(context) == [1, 2, 3, 4]
    assert append_served(context) == {"model_predictions": 1}
    assert append_served(context) == {"model_predictions": 0}
    assert users(context) == [1, 2, 3, 4]
    assert users(context, start=2, end=4) == [2, 3]
    root = Path(context.settings.offline_root)
    assert DeltaTable(root / served_location(VIEW)).to_pyarrow_table().num_rows == 4
    assert list((root / served_landing(VIEW)).iterdir()) == []


def test_upkeep_appends_the_log(context: RuntimeContext) -> None:
    land(context, 1, 2)
    [_, dry] = upkeep_views(context, dry_run=True).views
    assert (dry.served_rows, dry.outcome) == (0, ExitCode.NOTHING_TO_DO)
    [_, view] = upkeep_views(context).views
    assert (view.served_rows, view.outcome, view.to_dict()["served_rows"]) == (2, ExitCode.DONE, 2)
    assert users(context) == [1, 2]
    assert upkeep_views(context).exit_code is ExitCode.NOTHING_TO_DO


def test_a_log_that_cannot_be_appended_fails_its_view(context: RuntimeContext) -> None:
    land(context, 1)
    table = Path(context.settings.offline_root) / served_location(VIEW)
    table.parent.mkdir(parents=True)
    table.write_text("no folder", encoding="utf-8")
    [_, view] = upkeep_views(context).views
    assert view.outcome is ExitCode.FAILED
    assert view.error is not None
    assert "the log of model_predictions" in str(view.error["message"])


def test_versions_are_read_together(context: RuntimeContext) -> None:
    land(context, 1)
    append_served(context)
    land(context, 2, view=BUMPED, shadow=True)
    job = read_served(context, "model_predictions", NOW, NOW + 9 * HOUR)
    table = job.to_arrow()
    assert table.select(["user_id", "score", "rank", "is_shadow"]).to_pylist() == [
        {"user_id": 1, "score": 1.0, "rank": None, "is_shadow": False},
        {"user_id": 2, "score": 2.0, "rank": None, "is_shadow": True},
    ]
    assert job.to_df()["user_id"].tolist() == [1, 2]


def test_an_empty_log_has_the_views_columns(context: RuntimeContext) -> None:
    assert append_served(context) == {}
    table = read_served(context, "model_predictions", NOW, NOW + HOUR).to_arrow()
    assert table.num_rows == 0 and table.schema.names == served_schema(BUMPED).names
    with pytest.raises(FeatureNotFound, match="has no prediction view 'score'; it has model_predictions"):
        read_served(context, "score", NOW, NOW + HOUR)
    with pytest.raises(SettingsError, match="after its end"):
        read_served(context, "model_predictions", NOW + HOUR, NOW)


@pytest.mark.parametrize("point", ["_append_batch", "delete"])
def test_a_run_that_dies_at_any_step_is_finished_by_the_next_one_once(
    context: RuntimeContext, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(context, 1, 2)
    land(context, 3)

    class Killed(BaseException):
        pass

    def die(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(served, point if point == "_append_batch" else "_remove", die)
        with pytest.raises(Killed):
            append_served(context)
    land(context, 4)
    assert users(context) == [1, 2, 3, 4]
    append_served(context)
    assert users(context) == [1, 2, 3, 4]
    table = DeltaTable(Path(context.settings.offline_root) / served_location(VIEW)).to_pyarrow_table()
    assert sorted(table["user_id"].to_pylist()) == [1, 2, 3, 4]


def test_files_under_way_are_left_alone(context: RuntimeContext) -> None:
    land(context, 1)
    folder = Path(context.settings.offline_root) / served_landing(VIEW)
    (folder / ".20260101-x.parquet.part").write_bytes(b"half a fi")
    shutil.copy(next(folder.glob("*.parquet")), folder / ".hidden.parquet")
    assert append_served(context) == {"model_predictions": 1}
    assert users(context) == [1]


def append_in(root: str) -> int:
    settings = parse_settings({"project": "shop", "online_store": {"type": "memory"}}, repo=Path(root))
    return append_served(RuntimeContext(settings))["model_predictions"]


def test_appenders_beside_each_other_and_lookups_that_land_lose_and_double_nothing(context: RuntimeContext) -> None:
    for number in range(20):
        land(context, number)
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2) as pool, ThreadPoolExecutor(1) as threads:
        running = pool.map_async(append_in, [str(context.settings.repo)] * 4)
        landing = threads.submit(lambda: [land(context, number) for number in range(20, 40)])
        counts = running.get(60)
        landing.result()
    counts.append(append_served(context)["model_predictions"])
    assert sum(counts) == 40
    assert users(context) == list(range(40))
