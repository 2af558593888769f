"""Typed rows: Hypothesis strategies for every dtype, and Arrow tables of Python values."""

from __future__ import annotations

import decimal
import math
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from featurestore.codec.arrow import arrow_type
from featurestore.codec.value import RowCodec
from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import SCALARS, Array, Decimal, DType, Float64, Map, Scalar

__all__ = ["dtypes", "encode_rows", "fields_of", "make_table", "number_rows", "same", "values_of"]

_BOUNDS = {"int32": 2**31, "int64": 2**63}
_KEY_TYPES = [scalar for scalar in SCALARS if scalar.name not in {"float32", "float64"}]


def fields_of(**dtypes: DType) -> tuple[FieldNode, ...]:
    return tuple(FieldNode(name=name, dtype=dtype) for name, dtype in dtypes.items())


def make_table(fields: Sequence[FieldNode], rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Build a table of exact types; maps are given as dicts, absent names are null."""
    return pa.table(
        {
            field.name: pa.array(
                [_for_arrow(row.get(field.name), field.dtype) for row in rows], arrow_type(field.dtype)
            )
            for field in fields
        }
    )


def encode_rows(
    fields: tuple[FieldNode, ...], rows: Sequence[Mapping[str, Any]], *, event_us: int = 0, created_us: int = 0
) -> list[bytes]:
    """Pack rows that share one stamp."""
    times = np.full(len(rows), event_us, np.int64), np.full(len(rows), created_us, np.int64)
    return RowCodec(fields).encode(make_table(fields, rows), event_us=times[0], created_us=times[1])


def number_rows(count: int, *, event_us: int = 0, created_us: int = 0, value: float = 0.0) -> list[bytes]:
    """Pack rows of one float column, all alike."""
    return encode_rows(fields_of(x=Float64), [{"x": value}] * count, event_us=event_us, created_us=created_us)


def dtypes() -> st.SearchStrategy[DType]:
    """Any dtype, nested to some depth."""
    decimals = st.integers(1, 38).flatmap(lambda p: st.builds(Decimal, st.just(p), st.integers(0, p)))
    leaves = st.one_of(st.sampled_from(SCALARS), decimals)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.builds(Array, inner), st.builds(Map, st.sampled_from(_KEY_TYPES), inner)),
        max_leaves=4,
    )


def values_of(dtype: DType) -> st.SearchStrategy[Any]:
    """Values of the dtype, and None inside lists and as values of maps."""
    match dtype:
        case Scalar(name="int32" | "int64" as name):
            return st.integers(-_BOUNDS[name], _BOUNDS[name] - 1)
        case Scalar(name="float32"):
            return st.floats(width=32)
        case Scalar(name="float64"):
            return st.floats()
        case Scalar(name="bool"):
            return st.booleans()
        case Scalar(name="string" | "json"):
            return st.text(max_size=8)
        case Scalar(name="bytes"):
            return st.binary(max_size=8)
        case Scalar(name="timestamp"):
            return st.datetimes(timezones=st.just(UTC))
        case Scalar(name="date"):
            return st.dates()
        case Decimal(precision=precision, scale=scale):
            bound = 10**precision - 1
            context = decimal.Context(prec=60)
            return st.integers(-bound, bound).map(lambda n: decimal.Decimal(n).scaleb(-scale, context))
        case Array(element=element):
            return st.lists(st.one_of(st.none(), values_of(element)), max_size=4)
        case Map(key=key, value=value):
            return st.dictionaries(values_of(key), st.one_of(st.none(), values_of(value)), max_size=3)
    raise AssertionError(dtype)


def same(left: Any, right: Any) -> bool:
    """Compare exactly: NaN equals NaN, 0.0 differs from -0.0, and types count."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def _for_arrow(value: Any, dtype: DType) -> Any:
    match dtype:
        case Map(value=inner) if value is not None:
            return [(key, _for_arrow(item, inner)) for key, item in value.items()]
        case Array(element=inner) if value is not None:
            return [_for_arrow(item, inner) for item in value]
        case _:
            return value
