"""Training sets from every kind of spine: order, duplicates and strangers kept, holes in the coverage named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.errors import InputNotReady
from tests.support.project import Project
from tests.support.rides import day

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.timeout(600)]

FEATURES = ["ride_stats:distance_2d", "ride_stats:rides_1d", "ride_profile:seats", "workload:load"]
SPINE = {
    "driver_id": [3, 1, None, 1, 1, 77],
    "event_timestamp": [day(3, hour=1), day(2, hour=1), day(2, hour=1), day(1), day(2, hour=1), day(3)],
    "planned": [1.0, 2.0, 3.0, 4.0, 2.0, 6.0],
    "label": ["a", "b", "c", "d", "b", "f"],
}
EXPECTED = SPINE | {
    "distance_2d": [7.5, 60.0, None, 30.0, 60.0, None],
    "rides_1d": [1, 1, None, 2, 1, None],
    "seats": [None, 7, None, 4, 7, None],
    "load": [8.5, 62.0, None, 34.0, 62.0, None],
}


def table() -> pa.Table:
    return pa.table(SPINE)


def as_arrow(rides: Project) -> Any:
    return table()


def as_pandas(rides: Project) -> Any:
    return table().to_pandas().astype({"driver_id": "Int64"})


def as_dict(rides: Project) -> Any:
    return SPINE


def as_parquet(rides: Project) -> Any:
    path = rides.root / "data" / "spine.parquet"
    pq.write_table(table(), path)
    return path


@pytest.mark.parametrize("make", [as_arrow, as_pandas, as_dict, as_parquet])
def test_every_row_is_answered_in_its_place(served: FeatureStore, rides: Project, make: Any) -> None:
    found = served.get_historical_features(make(rides), FEATURES).to_arrow()
    assert found.column_names == list(EXPECTED)
    assert found.to_pydict() == EXPECTED


def test_a_query_may_be_the_spine(served: FeatureStore) -> None:
    query = "SELECT bigint(1) AS driver_id, timestamp'2026-03-03 01:00:00' AS event_timestamp"
    found = served.get_historical_features(query, FEATURES[:3]).to_arrow().to_pylist()
    assert found == [
        {"driver_id": 1, "event_timestamp": day(2, hour=1), "distance_2d": 60.0, "rides_1d": 1, "seats": 7}
    ]


def test_whole_numbers_with_nulls_stay_whole(served: FeatureStore) -> None:
    found = served.get_historical_features(table(), FEATURES).to_df()
    assert (found["rides_1d"].dtype, found["seats"].dtype) == (pd.Int64Dtype(), pd.Int64Dtype())


def test_steps_never_computed_are_named(served: FeatureStore) -> None:
    late = pa.table({"driver_id": [1], "event_timestamp": [day(5, hour=1)]})
    with pytest.raises(InputNotReady, match=r"ride_stats: \[2026-03-04T00:00:00Z, 2026-03-06T00:00:00Z\)"):
        served.get_historical_features(late, FEATURES[:1]).to_arrow()
    found = served.get_historical_features(late, FEATURES[:1], allow_missing=True).to_arrow().to_pydict()
    assert found["distance_2d"] == [30.0]


def test_a_training_set_is_written_as_delta(served: FeatureStore, tmp_path: Path) -> None:
    from deltalake import DeltaTable

    path = str(tmp_path / "training")
    served.get_historical_features(table(), FEATURES[:2]).write_delta(path)
    found = DeltaTable(path).to_pyarrow_table().sort_by("_row").drop_columns(["_row"])
    assert found.to_pydict() == {name: EXPECTED[name] for name in (*SPINE, "distance_2d", "rides_1d")}
