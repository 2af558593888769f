"""The columns and places of the log of served predictions."""

from __future__ import annotations

import pyarrow as pa

from featurestore.codec.served import served_schema
from featurestore.ir.served import SERVED_COLUMNS, served_landing, served_location
from featurestore.spec.dtypes import Int64
from tests.support.serving import field, scores


def test_a_log_has_keys_request_fields_outputs_and_then_its_own_columns() -> None:
    schema = served_schema(scores(request=(field("hour", Int64),)))
    assert schema.names == ["user_id", "hour", "score", *SERVED_COLUMNS]
    assert schema.field("score").type == pa.float64()


def test_versions_have_tables_and_landing_folders_of_their_own() -> None:
    old, new = scores(version=1, fingerprint="a" * 32), scores(version=2, fingerprint="b" * 32)
    assert served_location(old) == "served/model_predictions/v1-aaaaaaaa"
    assert served_landing(new) == "landing/served/model_predictions/v2-bbbbbbbb"
