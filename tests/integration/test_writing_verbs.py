"""``featurestore push``, ``rollback``, ``gc`` and ``publish --keys`` as commands, on a real Redis without Spark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result

from featurestore import FeatureStore
from featurestore.cli.main import cli
from featurestore.errors import FeatureStoreError, SchemaMismatch, StateError
from tests.support.pushed import DAY, START, make_definitions, open_pushed, publish_as_done

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def store(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    root = tmp_path_factory.mktemp("repo")
    with open_pushed(root, url) as opened:
        settings = opened.settings
        config = {
            "project": settings.project,
            "registry": settings.registry_url,
            "offline_store": {"path": settings.offline_path},
            "online_store": {"connection_string": url},
        }
        (root / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        opened.apply(make_definitions(root))
        yield opened


@pytest.fixture
def run(store: FeatureStore) -> Callable[..., Result]:
    def call(*argv: str) -> Result:
        return CliRunner().invoke(cli, ["--repo", str(store.settings.repo), *argv], prog_name="featurestore")

    return call


def told(result: Result) -> object:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_push_writes_the_rows_of_a_file(store: FeatureStore, run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("user_id,page\n1,home\n2,cart\n", encoding="utf-8")
    result = run("push", "sessions", str(tmp_path / "rows.csv"))
    assert (result.exit_code, result.stdout) == (0, "2 written\n")
    pq.write_table(pa.table({"user_id": [1], "score": [0.5]}), tmp_path / "scores.parquet")
    found = told(run("push", "churn", str(tmp_path / "scores.parquet"), "--json"))
    assert isinstance(found, dict)
    assert (found["written"], found["views"]["churn"]["written"]) == (1, 1)
    (tmp_path / "rows.jsonl").write_text(
        '{"user_id": 3, "page": "a"}\n{"user_id": null, "page": "b"}\n', encoding="utf-8"
    )
    refused = run("push", "session", str(tmp_path / "rows.jsonl"))
    assert isinstance(refused.exception, SchemaMismatch)
    both = run("push", "session", str(tmp_path / "rows.jsonl"), "--on-invalid", "dead_letter", "--to", "both")
    assert both.stdout == "1 written, 1 set aside, 1 landed\n"
    assert store.get_online_features(["session:page"], {"user_id": [1, 2, 3]})["page"] == ["home", "cart", "a"]


def test_push_says_what_is_wrong_with_the_file(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "rows.txt").touch()
    result = run("push", "sessions", str(tmp_path / "rows.txt"))
    assert result.exit_code == 2
    assert "rows.txt: .txt ending; valid are .parquet, .csv, .json and .jsonl" in result.output
    assert run("push", "sessions", str(tmp_path / "none.csv")).exit_code == 2


def test_rollback_and_gc(store: FeatureStore, run: Callable[..., Result]) -> None:
    assert isinstance(run("rollback", "account").exception, StateError)
    assert run("gc").stdout == "every version is needed\n"
    publish_as_done(store, "account", START + DAY)
    root = store.settings.repo
    store.apply(make_definitions(root, extra=True))
    publish_as_done(store, "account", START + 2 * DAY)
    missing = run("rollback", "account", "--to", "7").exception
    assert isinstance(missing, FeatureStoreError) and "version 7 is not warm; version 2 is served, warm: 1" in str(
        missing
    )
    store.push("updates", {"user_id": [1], "plan": ["pro"], "seats": [1]})
    store.apply([definition for definition in make_definitions(root) if getattr(definition, "name", "") == "user"])
    listed = run("gc")
    assert "nothing was freed; --yes does it" in listed.stdout
    freed = told(run("gc", "--yes", "--scan", "--json"))
    assert isinstance(freed, dict)
    assert {found["view"] for found in freed["versions"]} == {"account", "churn", "session"}
    assert (freed["freed"], freed["orphans"]) == (True, 0)
    assert run("gc").stdout == "every version is needed\n"


def test_publish_keys_needs_one_view(run: Callable[..., Result]) -> None:
    result = run("publish", "--keys", "user_id=1")
    assert result.exit_code == 2
    assert "--keys are those of one view; found none: name one" in result.output
    assert "--keys 'user_id': write key=value" in run("publish", "account", "--keys", "user_id").output
