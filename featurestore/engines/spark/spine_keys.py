"""A spine's key and time columns as the view's types: only lossless changes, an error names the row."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.engines.spark.schema import checked_cast, is_castable, spark_type
from featurestore.errors import EntityKeyMissing
from featurestore.ir.ddl import quote, spark_ddl
from featurestore.ir.nodes import FieldNode

__all__ = ["key_column", "time_column"]

_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_EXACT_FLOAT = float(2**53)


def key_column(spine: DataFrame, name: str, key: FieldNode, *, row: str) -> Column:
    """Give the spine's column ``name`` in the type of ``key``: 3, 3.0 and "3" are one whole number, NaN is null.

    A value that would lose something is an error at run time that names the row by its column ``row``.
    """
    found, wanted = _type_of(spine, name, f"join key {key.name!r}"), spark_type(key.dtype)
    column = F.col(quote(name))
    if found == wanted:
        return column
    what = f"spine column {name}, join key {key.name}"
    if isinstance(wanted, _INTEGERS) and isinstance(found, T.FloatType | T.DoubleType):
        column = F.when(F.isnan(column), None).otherwise(column.cast("double"))
        fits = (column == F.floor(column)) & (F.abs(column) <= _EXACT_FLOAT) & column.try_cast(wanted).isNotNull()
    elif isinstance(wanted, _INTEGERS) and isinstance(found, T.StringType):
        fits = F.coalesce(column.try_cast(wanted).cast("string") == column, F.lit(False))
    elif isinstance(wanted, _INTEGERS) and isinstance(found, T.DecimalType):
        fits = F.coalesce(column.try_cast(wanted).cast(found) == column, F.lit(False))
    elif isinstance(wanted, T.DateType | T.TimestampType) and isinstance(found, T.StringType):
        fits = column.try_cast(wanted).isNotNull()
    elif is_castable(found, wanted) and not isinstance(wanted, T.FloatType | T.DoubleType):
        return checked_cast(column, found, wanted, what=what)
    else:
        raise EntityKeyMissing(
            f"{what}: found {found.simpleString()}; valid is {spark_ddl(key.dtype)}, or a type that converts to it "
            "without loss: cast the column",
            column=name,
        )
    message = F.concat(
        F.lit(f"{what}, row "),
        F.col(quote(row)).cast("string"),
        F.lit(": found "),
        column.cast("string"),
        F.lit(f", which is no {wanted.simpleString()}"),
    )
    return F.when(column.isNull() | fits, column.try_cast(wanted)).otherwise(F.raise_error(message).cast(wanted))


def time_column(spine: DataFrame, name: str) -> Column:
    """Give the spine's time column as UTC instants; dates are midnights, naive timestamps are UTC already."""
    found = _type_of(spine, name, "the spine's instants")
    if not isinstance(found, T.TimestampType | T.TimestampNTZType | T.DateType):
        raise EntityKeyMissing(
            f"spine column {name}: found {found.simpleString()}; valid is timestamp (or date): cast the column",
            column=name,
        )
    return F.col(quote(name)).cast("timestamp")


def _type_of(spine: DataFrame, name: str, purpose: str) -> T.DataType:
    if name not in spine.columns:
        raise EntityKeyMissing(
            f"the spine has no column {name!r} for {purpose}; it has {', '.join(spine.columns)}", column=name
        )
    return spine.schema[name].dataType
