"""What scoring runs in Spark's Python workers: on-demand features and the model, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import SparkFiles

from featurestore.codec.arrow import arrow_type
from featurestore.codec.digest import Header, inputs_digest
from featurestore.engines.spark.arrow_columns import column_of, column_to_arrow
from featurestore.errors import InferenceFailed, OnDemandFailed
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, INPUTS_DIGEST, INPUTS_TIMESTAMP
from featurestore.ir.inputs import argument_names
from featurestore.ir.nodes import FeatureRef, OnDemandViewNode, PredictionViewNode
from featurestore.models.files import ModelFiles
from featurestore.models.local import LocalModels
from featurestore.ondemand.arrays import Column, ValueMismatch, function_input
from featurestore.ondemand.functions import check_outputs, run_on_demand
from featurestore.spec.dtypes import DType, Timestamp

__all__ = ["STANDING_DIGEST", "STANDING_EVENT", "BatchPredictor", "HeaderColumns", "StoredColumn"]

STANDING_DIGEST, STANDING_EVENT = "standing_digest", "standing_event"
"""The batch's columns with what the standing prediction was made of, and its event time in microseconds."""
CALL_ROWS = 10_000
"""The model is called on up to this many rows at once: as many as Spark puts into a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredColumn:
    """The column of the incoming batch that holds a stored feature."""

    column: str
    dtype: DType


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderColumns:
    """The batch's columns with the times of one input row, in microseconds; null where the row is absent.

    ``lapsed`` says whether the row expired within the step; null means no.
    """

    event: str
    created: str
    lapsed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPredictor:
    """Turns batches of entities with their input features into rows of the prediction view's table.

    With ``compares`` the batch has STANDING_DIGEST and STANDING_EVENT of the prediction that stands, and entities whose
    inputs are as they were then are left out. ``archive`` names the definitions zip among the files that Spark brings
    to its workers.
    """

    view: PredictionViewNode
    on_demand: Mapping[str, OnDemandViewNode]
    stored: Mapping[FeatureRef, StoredColumn]
    headers: tuple[HeaderColumns, ...]
    event_us: int
    created_us: int
    compares: bool = False
    archive: str | None = None

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Predict for the entities that need it, at most so many rows of several batches in one call."""
        waiting: list[pa.RecordBatch] = []
        for batch in batches:
            chosen = self.changed(batch) if self.compares else batch
            if waiting and sum(part.num_rows for part in waiting) + chosen.num_rows > CALL_ROWS:
                yield self.predict(_joined(waiting))
                waiting = []
            if chosen.num_rows:
                waiting.append(chosen)
        if waiting:
            yield self.predict(_joined(waiting))

    def changed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Keep the entities without a standing prediction, with one of other inputs, or with one of this step."""
        digest, event = batch.column(STANDING_DIGEST), batch.column(STANDING_EVENT)
        needed = ~digest.is_valid().to_numpy(zero_copy_only=False)
        needed |= digest.fill_null(0).to_numpy() != self._digest(batch)
        needed |= event.fill_null(0).to_numpy() == self.event_us
        for header in self.headers:
            needed |= batch.column(header.lapsed).fill_null(False).to_numpy(zero_copy_only=False)
        return batch.filter(pa.array(needed))

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
        columns[INPUTS_DIGEST] = pa.array(self._digest(batch))
        columns[INPUTS_TIMESTAMP] = _instants(latest)
        return pa.record_batch(columns)

    def _digest(self, batch: pa.RecordBatch) -> np.ndarray:
        return inputs_digest([_header(batch, columns) for columns in self.headers])

    def _outputs(self, batch: pa.RecordBatch) -> dict[str, Column]:
        view, model = self.view, self.view.model
        try:
            found = models_of(self.archive).predict(model, self.arguments(batch))
            return check_outputs(view.features, found, batch.num_rows)
        except (InferenceFailed, OnDemandFailed) as error:
            raise InferenceFailed(
                f"prediction view {view.name!r}: {error}", view=view.name, model=model.name
            ) from error
        except ValueMismatch as error:
            message = f"prediction view {view.name!r}: {model.title} {error}"
            raise InferenceFailed(message, view=view.name, model=model.name) from error

    def arguments(self, batch: pa.RecordBatch) -> dict[str, np.ndarray]:
        """Give what the model is called on for a batch: one array for each input."""
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


@cache
def models_of(archive: str | None) -> LocalModels:
    """Give this process's models; their files lie in the definitions zip that Spark brought here, or in the folder."""
    return LocalModels(files=ModelFiles(SparkFiles.get(archive) if archive else "."))


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    (joined,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return joined


def _header(batch: pa.RecordBatch, columns: HeaderColumns) -> Header:
    event, created = batch.column(columns.event), batch.column(columns.created)
    present = event.is_valid().to_numpy(zero_copy_only=False)
    return present, event.fill_null(0).to_numpy(), created.fill_null(0).to_numpy()


def _instants(micros: np.ndarray) -> pa.Array[Any]:
    instants: pa.Array[Any] = pa.array(micros).cast(arrow_type(Timestamp))
    return instants
