"""On-demand features in training sets: the same function as online, run over Arrow batches in Spark's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from featurestore.codec.arrow import arrow_type
from featurestore.errors import Problem, SchemaMismatch
from featurestore.ir.ddl import column_ddl
from featurestore.ondemand.arrays import python_values, read_column
from featurestore.ondemand.functions import run_on_demand
from featurestore.retrieval.plan import OnDemandCall, OnDemandOutput, RequestArgument, RequestPlan, StoredArgument
from featurestore.runtime.code import ship_code
from featurestore.runtime.context import RuntimeContext
from featurestore.spec.dtypes import DType

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["with_on_demand"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One function: ``inputs`` are (argument, column of the frame, type)."""

    number: int
    call: OnDemandCall
    inputs: tuple[tuple[str, str, DType], ...]


def with_on_demand(
    context: RuntimeContext,
    frame: DataFrame,
    plan: RequestPlan,
    column_of: Callable[[int, str], str],
) -> DataFrame:
    """Append ``_c<call>_<feature>`` for every call that ``plan`` has an output of.

    ``column_of(read, feature)`` names the frame's columns of stored features; request fields go by their own names.
    """
    called = sorted({output.call for output in plan.outputs if isinstance(output, OnDemandOutput)})
    if not called:
        return frame
    ship_code(context, [plan.calls[number].view.code for number in called])
    prepared = tuple(_prepare(frame, number, plan, column_of) for number in called)
    added = [
        column_ddl(f"_c{item.number}_{feature.name}", feature.dtype, is_nullable=True)
        for item in prepared
        for feature in item.call.view.features
    ]
    kept = [f"`{field.name}` {field.dataType.simpleString()}" for field in frame.schema]
    return frame.mapInArrow(partial(_run, prepared), ", ".join([*kept, *added]))


def _prepare(frame: DataFrame, number: int, plan: RequestPlan, column_of: Callable[[int, str], str]) -> _Call:
    call = plan.calls[number]
    inputs: list[tuple[str, str, DType]] = []
    missing: list[str] = []
    for argument in call.arguments:
        match argument:
            case StoredArgument():
                fields = plan.reads[argument.read].view.features
                dtype = next(field.dtype for field in fields if field.name == argument.feature)
                inputs.append((argument.name, column_of(argument.read, argument.feature), dtype))
            case RequestArgument():
                if argument.column not in frame.columns:
                    missing.append(argument.column)
                inputs.append((argument.name, argument.column, argument.dtype))
            case _:
                raise TypeError(f"on-demand view {call.view.name!r} reads {type(argument).__name__}")
    if missing:
        raise SchemaMismatch(
            [
                Problem(
                    location="entity_df",
                    object=name,
                    message=f"on-demand view {call.view.name!r} needs this request field; add the column",
                )
                for name in missing
            ]
        )
    return _Call(number=number, call=call, inputs=tuple(inputs))


def _run(calls: tuple[_Call, ...], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        columns: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
        for item in calls:
            inputs = {name: read_column(dtype, _array(batch[column])) for name, column, dtype in item.inputs}
            outputs = run_on_demand(item.call.view, inputs)
            for feature in item.call.view.features:
                values = pa.array(python_values(outputs[feature.name]), arrow_type(feature.dtype))
                columns[f"_c{item.number}_{feature.name}"] = values
        yield pa.record_batch(columns)


def _array(column: Any) -> Any:
    """Give a column as NumPy, masked where it is null."""
    if column.null_count == 0 and not pa.types.is_nested(column.type):
        return column.to_numpy(zero_copy_only=False)
    if pa.types.is_timestamp(column.type):
        values = column.cast(pa.timestamp("us")).fill_null(0).to_numpy(zero_copy_only=False)
        return np.ma.MaskedArray(values, mask=column.is_null().to_numpy(zero_copy_only=False))
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = column.fill_null(0).to_numpy(zero_copy_only=False)
        return np.ma.MaskedArray(values, mask=column.is_null().to_numpy(zero_copy_only=False))
    return column.to_pylist()
