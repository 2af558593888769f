"""``ledger rebuild`` on a table that Delta's Rust writer made: no Spark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import CommitProperties, write_deltalake

from featurestore import FeatureStore
from featurestore.cli.main import cli
from featurestore.intervals import Interval
from featurestore.ir.columns import table_location
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import ViewNode
from featurestore.stores.base import CommitRecord
from featurestore.stores.commit_json import commit_to_json
from tests.support.nodes import plain_view

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    (tmp_path / "feature_store.yaml").write_text("project: shop\nonline_store: {type: memory}\n", encoding="utf-8")
    with FeatureStore(tmp_path) as opened:
        yield opened


def apply(store: FeatureStore, **fingerprints: str) -> Manifest:
    views = {name: plain_view(name=name, fingerprint=digest) for name, digest in fingerprints.items()}
    recorded = store.runtime.registry.record(Manifest(project="shop", views=views), now=NOW)
    store.runtime.reload()
    return recorded


def day(view: ViewNode, number: int) -> CommitRecord:
    start = NOW + timedelta(days=number)
    return CommitRecord(
        run_id=f"run-{number}",
        view=view.name,
        version=view.version,
        interval=Interval(start, start + timedelta(days=1)),
        generation=1,
        fingerprint=view.fingerprint,
        created=start,
        inputs={},
        counts={},
    )


def test_what_the_ledger_lacks_is_added_and_what_delta_lacks_removed(store: FeatureStore) -> None:
    view = apply(store, rides="f" * 64).views["rides"]
    for number in (0, 1):
        write_deltalake(
            f"{store.settings.offline_root}/{table_location(view)}",
            pa.table({"n": [number]}),
            mode="append",
            commit_properties=CommitProperties(custom_metadata={"userMetadata": commit_to_json(day(view, number))}),
        )
    for known in (replace(day(view, 1), delta_version=1), day(view, 2), day(view, 3)):
        store.runtime.ledger.finish(known, now=NOW)

    for change in ("1 runs added, 2 removed", "0 runs added, 0 removed"):
        done = CliRunner().invoke(
            cli, ["--repo", str(store.settings.repo), "ledger", "rebuild"], catch_exceptions=False
        )
        assert done.output.strip() == f"rides: {change}"
    (covered,) = store.runtime.ledger.coverage("rides", view.version).stretches
    assert covered == Interval(NOW, NOW + timedelta(days=2))
    assert "spark" not in store.runtime.__dict__
