"""Who is left out of a scoring step: for any history of inputs, any steps, any order, and steps run again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from featurestore.engines.spark.model_worker import BatchPredictor, HeaderColumns, StoredColumn
from featurestore.ir.columns import EVENT_TIMESTAMP, INPUTS_DIGEST
from featurestore.ir.nodes import CodeRef, FeatureRef, ModelNode
from featurestore.spec.dtypes import Float64
from tests.support.nodes import prediction_view

KEYS = range(2)
TIMES_TO_LIVE = (30, 20)
STEP = 10
REFS = tuple(FeatureRef(view=view, feature=view, alias=view) for view in ("first", "second"))
VIEW = prediction_view(
    inputs=REFS,
    model=ModelNode(name="m", version="1", load=CodeRef(path="tests.support.models:load_sum", digest="")),
)


class Row(NamedTuple):
    """An input row of a key: from when it holds, and its value."""

    key: int
    event: int
    value: float


@dataclass
class Table:
    """The prediction view's rows by (step end, key), as steps leave them."""

    inputs: tuple[list[Row], list[Row]]
    rows: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)

    def run(self, end: int, *, everything: bool = False) -> None:
        compares = end - STEP in self.done and not everything
        predictor = BatchPredictor(
            view=VIEW,
            on_demand={},
            stored={ref: StoredColumn(column=f"value{number}", dtype=Float64) for number, ref in enumerate(REFS)},
            headers=tuple(HeaderColumns(event=f"event{n}", created=f"event{n}", lapsed=f"lapsed{n}") for n in (0, 1)),
            event_us=end,
            created_us=end,
            compares=compares,
        )
        current = [columns for key in KEYS if (columns := self._entity(key, end)) is not None]
        batch = pa.RecordBatch.from_pylist(current, schema=SCHEMA)
        for part in predictor([batch]):
            for row in part.to_pylist():
                self.rows[end, row["user_id"]] = row
        self.done.add(end)

    def _entity(self, key: int, end: int) -> dict[str, Any] | None:
        """Give what a step reads of an entity; None where the first input's row is missing or expired."""
        columns: dict[str, Any] = {"user_id": key}
        for number, (rows, life) in enumerate(zip(self.inputs, TIMES_TO_LIVE, strict=True)):
            row = max((r for r in rows if r.key == key and r.event <= end), key=lambda r: r.event, default=None)
            is_usable = row is not None and end <= row.event + life
            if number == 0 and not is_usable:
                return None
            expires = None if row is None else row.event + life
            columns[f"event{number}"] = None if row is None else row.event
            columns[f"value{number}"] = row.value if is_usable and row is not None else None
            columns[f"lapsed{number}"] = expires is not None and end - STEP <= expires < end
        standing = self.standing(key, end)
        columns["standing_digest"] = None if standing is None else standing[INPUTS_DIGEST]
        columns["standing_event"] = None if standing is None else standing["step"]
        return columns

    def standing(self, key: int, at: int) -> dict[str, Any] | None:
        ends = [end for end, owner in self.rows if owner == key and end <= at]
        return None if not ends else {**self.rows[max(ends), key], "step": max(ends)}

    def answers(self) -> dict[tuple[int, int], Any]:
        found = {}
        for key in KEYS:
            for end in self.done:
                row = self.standing(key, end)
                found[key, end] = None if row is None else (row["score"], row[INPUTS_DIGEST])
        return found


SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        *((f"event{number}", pa.int64()) for number in (0, 1)),
        *((f"value{number}", pa.float64()) for number in (0, 1)),
        *((f"lapsed{number}", pa.bool_()) for number in (0, 1)),
        ("standing_digest", pa.int64()),
        ("standing_event", pa.int64()),
    ]
)
ENDS = [number * STEP for number in range(1, 7)]
histories = st.lists(
    st.builds(Row, st.sampled_from(list(KEYS)), st.integers(0, 60), st.sampled_from([1.0, 2.0])),
    max_size=8,
    unique_by=lambda row: (row.key, row.event),
)


@given(st.tuples(histories, histories), st.lists(st.sampled_from(ENDS), min_size=1, max_size=9))
def test_steps_in_any_order_leave_what_scoring_everything_leaves(
    inputs: tuple[list[Row], list[Row]], order: list[int]
) -> None:
    full, incremental = Table(inputs), Table(inputs)
    for end in sorted(set(order)):
        full.run(end, everything=True)
    for end in order:
        incremental.run(end)
    assert incremental.answers() == full.answers()
    assert set(incremental.rows) <= set(full.rows)
    assert all(row[EVENT_TIMESTAMP] is not None for row in incremental.rows.values())
