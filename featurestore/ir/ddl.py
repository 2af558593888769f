"""The SQL type of each dtype, as Spark and Delta spell it: the one mapping, for tables and for frames."""

from __future__ import annotations

from typing import assert_never

from featurestore.spec.dtypes import Array, Decimal, DType, Map, Scalar

__all__ = ["column_ddl", "quote", "spark_ddl"]

_SCALAR_DDL = {
    "int32": "int",
    "int64": "bigint",
    "float32": "float",
    "float64": "double",
    "bool": "boolean",
    "string": "string",
    "bytes": "binary",
    "timestamp": "timestamp",
    "date": "date",
    "json": "string",
}


def spark_ddl(dtype: DType) -> str:
    """Write a dtype as Spark's SQL type, such as ``array<bigint>``."""
    match dtype:
        case Scalar(name=name):
            return _SCALAR_DDL[name]
        case Decimal(precision=precision, scale=scale):
            return f"decimal({precision},{scale})"
        case Array(element=element):
            return f"array<{spark_ddl(element)}>"
        case Map(key=key, value=value):
            return f"map<{spark_ddl(key)},{spark_ddl(value)}>"
        case _:
            assert_never(dtype)


def quote(name: str) -> str:
    """Quote a column name for SQL."""
    return "`" + name.replace("`", "``") + "`"


def column_ddl(name: str, dtype: DType, *, is_nullable: bool = True) -> str:
    """Write one column of a table's DDL."""
    return f"{quote(name)} {spark_ddl(dtype)}{'' if is_nullable else ' NOT NULL'}"
