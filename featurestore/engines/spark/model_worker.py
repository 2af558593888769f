"""What scoring runs in Spark's Python workers: on-demand features and the model, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.codec.arrow import arrow_type
from featurestore.codec.digest import Header, inputs_digest
from featurestore.engines.spark.arrow_columns import column_of, column_to_arrow
from featurestore.errors import InferenceFailed, OnDemandFailed
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, INPUTS_DIGEST, INPUTS_TIMESTAMP
from featurestore.ir.nodes import FeatureRef, ModelNode, OnDemandViewNode, PredictionViewNode
from featurestore.ondemand.arrays import Column, ValueMismatch, function_input
from featurestore.ondemand.functions import check_outputs, resolve, run_on_demand
from featurestore.spec.dtypes import DType, Timestamp

__all__ = ["BatchPredictor", "HeaderColumns", "StoredColumn", "argument_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredColumn:
    """The column of the incoming batch that holds a stored feature."""

    column: str
    dtype: DType


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderColumns:
    """The batch's columns with the times of one input row, in microseconds; null where the row is absent."""

    event: str
    created: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPredictor:
    """Turns batches of entities with their input features into rows of the prediction view's table."""

    view: PredictionViewNode
    on_demand: Mapping[str, OnDemandViewNode]
    stored: Mapping[FeatureRef, StoredColumn]
    headers: tuple[HeaderColumns, ...]
    event_us: int
    created_us: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield self.predict(batch)

    def predict(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Predict for one batch; InferenceFailed says what the model was and what it gave."""
        outputs = self._outputs(batch)
        headers = [_header(batch, columns) for columns in self.headers]
        latest = np.max([np.where(present, event, np.iinfo(np.int64).min) for present, event, _ in headers], axis=0)
        rows = batch.num_rows
        columns: dict[str, pa.Array[Any]] = {key.name: batch.column(key.name) for key in self.view.join_keys}
        columns[EVENT_TIMESTAMP] = _instants(np.full(rows, self.event_us, np.int64))
        columns[CREATED_TIMESTAMP] = _instants(np.full(rows, self.created_us, np.int64))
        for feature in self.view.features:
            columns[feature.name] = column_to_arrow(outputs[feature.name], feature.dtype)
        columns[INPUTS_DIGEST] = pa.array(inputs_digest(headers))
        columns[INPUTS_TIMESTAMP] = _instants(latest)
        return pa.record_batch(columns)

    def _outputs(self, batch: pa.RecordBatch) -> dict[str, Column]:
        view, model, count = self.view, self.view.model, batch.num_rows
        owner = f"prediction view {view.name!r}: model {model.name!r} version {model.version!r} ({model.load.path})"
        try:
            inputs = self._arguments(batch)
            predict = load_model(model).predict
        except OnDemandFailed as error:
            raise InferenceFailed(f"{owner}: {error}", view=view.name, model=model.name) from error
        try:
            found = predict(inputs)
        except Exception as error:  # a model may raise anything; it is told with its owner's name
            message = f"{owner} raised {type(error).__name__}: {error}"
            raise InferenceFailed(message, view=view.name, model=model.name) from error
        try:
            return check_outputs(view.features, found, count)
        except ValueMismatch as error:
            raise InferenceFailed(f"{owner} {error}", view=view.name, model=model.name) from error

    def _arguments(self, batch: pa.RecordBatch) -> dict[str, np.ndarray]:
        computed: dict[str, dict[str, Column]] = {}

        def column(ref: FeatureRef) -> Column:
            view = self.on_demand.get(ref.view)
            if view is None:
                stored = self.stored[ref]
                return column_of(batch.column(stored.column), stored.dtype)
            if view.name not in computed:
                names = argument_names(view.inputs)
                computed[view.name] = run_on_demand(view, {name: column(inner) for name, inner in names.items()})
            return computed[view.name][ref.feature]

        return {name: function_input(column(ref)) for name, ref in argument_names(self.view.inputs).items()}


def argument_names(refs: tuple[FeatureRef, ...]) -> dict[str, FeatureRef]:
    """Name inputs as functions and models see them: the feature, with its view in front where two share the name."""
    counts: dict[str, int] = {}
    for ref in refs:
        counts[ref.feature] = counts.get(ref.feature, 0) + 1
    return {ref.feature if counts[ref.feature] == 1 else f"{ref.alias}__{ref.feature}": ref for ref in refs}


@lru_cache(maxsize=16)
def load_model(model: ModelNode) -> Any:
    """Load a model version once in this process."""
    load: Callable[[], Any] = resolve(model.load.path)
    owner = f"model {model.name!r} version {model.version!r} ({model.load.path})"
    try:
        loaded = load()
    except Exception as error:  # loading is user code too
        message = f"{owner} cannot be loaded: {type(error).__name__}: {error}"
        raise InferenceFailed(message, model=model.name) from error
    if not callable(getattr(loaded, "predict", None)):
        message = f"{owner}: found {type(loaded).__name__} without predict(); valid is an object whose predict maps "
        raise InferenceFailed(message + "dict[str, ndarray] to dict[str, ndarray]", model=model.name)
    return loaded


def _header(batch: pa.RecordBatch, columns: HeaderColumns) -> Header:
    event, created = batch.column(columns.event), batch.column(columns.created)
    present = event.is_valid().to_numpy(zero_copy_only=False)
    return present, event.fill_null(0).to_numpy(), created.fill_null(0).to_numpy()


def _instants(micros: np.ndarray) -> pa.Array[Any]:
    instants: pa.Array[Any] = pa.array(micros).cast(arrow_type(Timestamp))
    return instants
