"""Every dtype has a Spark type, the one that tables have, and the session's pinned settings hold."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from featurestore.engines.spark.schema import spark_type, struct_of
from featurestore.engines.spark.session import PINNED, build_session
from featurestore.errors import SettingsError
from featurestore.ir.ddl import spark_ddl
from featurestore.spec.dtypes import SCALARS, Array, Decimal, DType, Int64, Map, String
from tests.support.engine_runs import fields

DTYPES: tuple[DType, ...] = (*SCALARS, Decimal(12, 2), Array(Array(Int64)), Map(String, Array(Int64)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_dtype_is_the_type_of_its_table_column(dtype: DType) -> None:
    assert spark_type(dtype).simpleString() == spark_ddl(dtype)


def test_a_struct_has_the_fields_in_order() -> None:
    assert struct_of(fields({"b": Int64, "a": String})).simpleString() == "struct<b:bigint,a:string>"


def test_pinned_settings_cannot_be_changed() -> None:
    with pytest.raises(SettingsError, match=r"spark.sql.session.timeZone=Europe/Berlin \(pinned: UTC\)"):
        build_session("x", extra={"spark.sql.session.timeZone": "Europe/Berlin"})


@pytest.mark.spark
def test_the_session_has_all_pinned_settings(spark: SparkSession) -> None:
    assert {name: spark.conf.get(name) for name in PINNED} == dict(PINNED)
