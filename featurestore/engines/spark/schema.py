"""Types between the manifest and Spark, and the checked casts from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import (
    Array,
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    Scalar,
    String,
    Timestamp,
)

__all__ = ["checked_cast", "is_castable", "order_key", "spark_type", "struct_of"]

_SCALARS: dict[Scalar, T.DataType] = {
    Int32: T.IntegerType(),
    Int64: T.LongType(),
    Float32: T.FloatType(),
    Float64: T.DoubleType(),
    Bool: T.BooleanType(),
    String: T.StringType(),
    Bytes: T.BinaryType(),
    Timestamp: T.TimestampType(),
    Date: T.DateType(),
    Json: T.StringType(),
}
_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_FLOATS = (T.FloatType, T.DoubleType)
_TIMES = (T.TimestampType, T.TimestampNTZType)


def spark_type(dtype: DType) -> T.DataType:
    """Give the Spark type that holds values of ``dtype``."""
    match dtype:
        case Scalar():
            return _SCALARS[dtype]
        case Decimal(precision=precision, scale=scale):
            return T.DecimalType(precision, scale)
        case Array(element=element):
            return T.ArrayType(spark_type(element), containsNull=True)
        case Map(key=key, value=value):
            return T.MapType(spark_type(key), spark_type(value), valueContainsNull=True)
        case _:
            assert_never(dtype)


def struct_of(fields: Sequence[FieldNode]) -> T.StructType:
    """Give the schema of columns named and typed like ``fields``, all nullable."""
    return T.StructType([T.StructField(field.name, spark_type(field.dtype), nullable=True) for field in fields])


def is_castable(found: T.DataType, wanted: T.DataType) -> bool:
    """Say whether a column may be converted: the same kind of value, ranges being checked as rows are read."""
    if isinstance(found, T.NullType) or isinstance(wanted, type(found)):
        match found, wanted:
            case T.ArrayType(), T.ArrayType():
                return is_castable(found.elementType, wanted.elementType)
            case T.MapType(), T.MapType():
                return is_castable(found.keyType, wanted.keyType) and is_castable(found.valueType, wanted.valueType)
            case T.StructType(), T.StructType():
                return found == wanted
            case _:
                return True
    if isinstance(wanted, _INTEGERS):
        return isinstance(found, _INTEGERS)
    if isinstance(wanted, _FLOATS):
        return isinstance(found, (*_INTEGERS, *_FLOATS, T.DecimalType))
    if isinstance(wanted, T.DecimalType):
        return isinstance(found, _INTEGERS)
    return isinstance(wanted, _TIMES) and isinstance(found, (*_TIMES, T.DateType))


def checked_cast(column: Column, found: T.DataType, wanted: T.DataType, *, what: str) -> Column:
    """Convert, raising an error that begins with ``what`` at a value that the wanted type cannot hold.

    Naive timestamps are UTC, as the session's time zone is. Rounding is allowed for floats, never for others.
    """
    if found == wanted or (isinstance(found, T.StringType) and isinstance(wanted, T.StringType)):
        return column
    if isinstance(found, T.DoubleType) and isinstance(wanted, T.FloatType):
        cast = column.cast(wanted)
        fits = cast.isNull() | ~F.abs(cast).eqNullSafe(F.lit(float("inf"))) | F.abs(column).eqNullSafe(float("inf"))
    else:
        cast = column.try_cast(wanted)
        fits = column.isNull() | cast.isNotNull()
        if isinstance(found, T.DecimalType) and isinstance(wanted, T.DecimalType):
            fits = column.isNull() | cast.eqNullSafe(column)
    message = F.concat(
        F.lit(f"{what}: found "), F.to_json(F.struct(column.alias("value"))), F.lit(f", not a {wanted.simpleString()}")
    )
    return F.when(fits, cast).otherwise(F.raise_error(message).cast(wanted))


def order_key(column: Column, dtype: DType) -> Column:
    """Give a value that is orderable for any type, and equal exactly where ``column`` has equal bits.

    NaN equals itself and is greater than every number; 0.0 and -0.0 differ; maps are compared by sorted entries.
    """
    match dtype:
        case Scalar() if dtype in (Float32, Float64):
            return F.struct(column.alias("v"), F.when(column == 0.0, column.cast("string")).alias("zero"))
        case Scalar() | Decimal():
            return column
        case Array(element=element):
            if isinstance(element, Scalar | Decimal) and element not in (Float32, Float64):
                return column
            return F.transform(column, lambda value: order_key(value, element))
        case Map(key=key, value=value):
            return F.array_sort(
                F.transform(
                    F.map_entries(column),
                    lambda entry: F.struct(
                        order_key(entry["key"], key).alias("k"), order_key(entry["value"], value).alias("v")
                    ),
                )
            )
        case _:
            assert_never(dtype)
