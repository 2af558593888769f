"""The log of served predictions from a lookup to ``read_served``, through the facade on a real Redis."""

from __future__ import annotations

from datetime import timedelta

import pytest

from featurestore import FeatureStore
from featurestore.intervals import utc_now
from featurestore.runtime.served import append_served
from tests.support.guide import make_shop

pytestmark = pytest.mark.redis


def test_what_a_store_served_is_read_back_by_another(tmp_path_factory: pytest.TempPathFactory) -> None:
    project = make_shop(tmp_path_factory.mktemp("s"))
    try:
        settings = project.root / "feature_store.yaml"
        settings.write_text(settings.read_text(encoding="utf-8") + "lookup: {log_served: true}\n", encoding="utf-8")
        before = utc_now()
        with FeatureStore(project.root) as store:
            for _ in range(2):
                store.get_online_features(["user_data:model_predictions"], {"user_id": [1, 2, 9]})
        with FeatureStore(project.root) as store:
            bounds = before, utc_now() + timedelta(seconds=1)
            columns = ["user_id", "score", "served_status", "served_row", "model_version", "is_shadow"]
            landed = store.read_served("model_predictions", *bounds).to_arrow().select(columns).to_pylist()
            assert append_served(store.runtime) == {"model_predictions": 6}
            assert store.read_served("model_predictions", *bounds).to_arrow().select(columns).to_pylist() == landed
    finally:
        project.redis.stop()
    assert [tuple(row.values()) for row in landed] == [
        (1, 0.2, "LIVE", 0, "1", False),
        (2, 0.125, "LIVE", 1, "1", False),
        (9, None, "MISSING", 2, None, False),
        (1, 0.2, "CACHED", 0, "1", False),
        (2, 0.125, "CACHED", 1, "1", False),
        (9, None, "MISSING", 2, None, False),
    ]
