"""Write verbs on an applied project and a real Redis, without Spark."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore, PushMode
from featurestore.errors import EntityKeyMissing, FeatureNotFound, SchemaMismatch
from featurestore.ir.columns import landing_location
from tests.support.pushed import DAY, START, make_definitions, open_pushed, publish_as_done

pytestmark = pytest.mark.redis


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[FeatureStore]:
    with open_pushed(tmp_path, url, project=f"p{abs(hash(tmp_path)) % 10**9}") as opened:
        opened.apply(make_definitions(tmp_path))
        yield opened


def read(store: FeatureStore, *features: str, user: int = 1) -> list[Any]:
    answer = store.get_online_features(list(features), [{"user_id": user}])
    return [answer[name.partition(":")[2]][0] for name in features]


def test_a_push_reaches_the_views_that_the_source_feeds(store: FeatureStore) -> None:
    result = store.push("sessions", {"user_id": [1, 2], "page": ["home", "cart"], "depth": [3, 4]})
    assert (result.written, list(result.views)) == (2, ["session"])
    assert read(store, "session:page", user=2) == ["cart"]
    result = store.push("updates", {"user_id": [1], "plan": ["pro"], "seats": [4], "at": [datetime.now(UTC)]})
    assert (result.written, list(result.views)) == (1, ["account"])
    assert read(store, "account:plan") == ["pro"]


def test_a_push_may_carry_the_prediction_made_from_it(store: FeatureStore) -> None:
    result = store.push("updates", {"user_id": [1], "plan": ["pro"], "churn": [0.25]})
    assert sorted(result.views) == ["account", "churn"]
    answer = store.get_online_features(["account:plan", "account:churn"], [{"user_id": 1}])
    assert answer.to_dict() == {"user_id": [1], "plan": ["pro"], "churn": [0.25]}
    assert [str(found.status) for found in answer.predictions["churn"]] == ["CACHED"]


def test_unknown_sources_and_columns_are_told(store: FeatureStore) -> None:
    with pytest.raises(FeatureNotFound, match="no push source 'update': did you mean 'updates'"):
        store.push("update", {"user_id": [1]})
    with pytest.raises(SchemaMismatch, match="has no such column: did you mean 'page'"):
        store.push("sessions", {"user_id": [1], "page": ["a"], "pages": ["b"]})
    with pytest.raises(SchemaMismatch, match=r"the source feeds 'session', and the frame .* has the features of none"):
        store.push("sessions", {"user_id": [1], "depth": [3]})


def test_deleted_keys_stay_deleted_until_something_newer_comes(store: FeatureStore) -> None:
    now = datetime.now(UTC)
    store.push("updates", {"user_id": [1, 2], "plan": ["pro", "free"], "at": [now] * 2})
    assert store.delete_online("account", [{"user_id": 1}, {"user_id": 7}]).written == 2
    assert [read(store, "account:plan", user=user) for user in (1, 2)] == [[None], ["free"]]
    assert store.get_online_features(["account:plan"], [{"user_id": 1}]).statuses["plan"] == ["NOT_FOUND"]
    assert store.push("updates", {"user_id": [1, 7], "plan": ["old", "old"], "at": [now - DAY] * 2}).ignored == 2
    assert store.push("updates", {"user_id": [1], "plan": ["new"], "at": [now + timedelta(minutes=1)]}).written == 1
    assert read(store, "account:plan") == ["new"]
    assert store.delete_online("account", {"user_id": [1]}).written == 1
    assert read(store, "account:plan") == [None]
    assert store.delete_online("account", []).written == 0
    with pytest.raises(EntityKeyMissing, match=r"entity row 1: a part of the key .* is null; nothing was deleted"):
        store.delete_online("account", [{"user_id": 2}, {"user_id": None}])
    assert read(store, "account:plan", user=2) == ["free"]


def test_offline_rows_land_once(store: FeatureStore, tmp_path: Path) -> None:
    rows = {"user_id": [1], "page": ["home"], "event_timestamp": [START], "created_timestamp": [START]}
    for _ in range(2):
        result = store.write_to_offline_store("session", rows)
        assert (result.written, result.landed) == (0, 1)
    assert read(store, "session:page") == [None]
    both = store.push("sessions", {"user_id": [2], "page": ["cart"]}, to=PushMode.ONLINE_AND_OFFLINE)
    assert (both.written, both.landed) == (1, 1)
    folder = Path(store.settings.offline_root) / landing_location(store.manifest.stored_view("session"))
    landed = sorted(file.name for file in folder.iterdir())
    assert len(landed) == 2 and all(name.endswith(".parquet") for name in landed)
    assert sorted(row["page"] for name in landed for row in pq.read_table(folder / name).to_pylist()) == [
        "cart",
        "home",
    ]


def test_a_writer_process_needs_neither_spark_nor_pandas(store: FeatureStore, tmp_path: Path, url: str) -> None:
    code = f"""
import sys
from pathlib import Path
class NoPandas:  # pyarrow loads it by itself where it is installed
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoPandas())
from featurestore import FeatureStore
config = {{"project": {store.settings.project!r}, "online_store": {{"connection_string": {url!r}}}}}
with FeatureStore(Path("."), config=config) as store:
    result = store.push("sessions", {{"user_id": [9], "page": ["home"]}})
    assert result.written == 1, result
loaded = {{name.partition(".")[0] for name in sys.modules}}
heavy = {{"pyspark", "sqlalchemy", "deltalake", "airflow"}} & loaded
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert read(store, "session:page", user=9) == ["home"]


def test_rows_set_aside_can_be_read(store: FeatureStore) -> None:
    result = store.push("sessions", {"user_id": [1, None], "page": ["a", "b"]}, on_invalid="dead_letter")
    assert (result.written, result.dead_lettered) == (1, 1)
    [letter] = store.dead_letters()
    assert (letter["view"], letter["row"]) == ("sessions", {"user_id": None, "page": "b"})


def test_a_push_during_a_building_version_goes_to_both(store: FeatureStore, tmp_path: Path) -> None:
    publish_as_done(store, "account", START + DAY)
    store.push("updates", {"user_id": [1], "plan": ["pro"], "seats": [4]})
    store.apply(make_definitions(tmp_path, extra=True))
    result = store.push("updates", {"user_id": [1], "plan": ["max"], "seats": [9]})
    assert (result.written, dict(result.skipped)) == (1, {})
    assert read(store, "account:plan") == ["max"]
    assert store.push("updates", {"user_id": [2], "plan": ["few"]}).skipped == {"account@2": "the frame lacks seats"}
    publish_as_done(store, "account", START + DAY)
    assert read(store, "account:plan", "account:seats") == ["max", 9]
    assert read(store, "account@1:plan") == ["max"]
