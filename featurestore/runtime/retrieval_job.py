"""The result of an offline read, computed when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyspark.sql import DataFrame

__all__ = ["RetrievalJob"]

_ROW = "_row"


class RetrievalJob:
    """A planned read: nothing runs until one of its results is asked for."""

    def __init__(self, plan: Callable[[], DataFrame], *, has_row_numbers: bool) -> None:
        self._plan = plan
        self._has_row_numbers = has_row_numbers
        self._frame: DataFrame | None = None

    def to_spark(self) -> DataFrame:
        """Give the Spark frame; a training set carries its input order as ``_row``."""
        if self._frame is None:
            self._frame = self._plan()
        return self._frame

    def to_arrow(self) -> pa.Table:
        """Run and give an Arrow table, in the input's order."""
        table = self.to_spark().toArrow()
        if not self._has_row_numbers:
            return table
        return table.sort_by(_ROW).drop_columns([_ROW])

    def to_df(self) -> pd.DataFrame:
        """Run and give a pandas frame, in the input's order; integer and bool columns with nulls stay what they are."""
        import pandas as pd
        import pyarrow as pa

        table = self.to_arrow()
        nullable: dict[Any, Any] = {
            pa.int32(): pd.Int32Dtype(),
            pa.int64(): pd.Int64Dtype(),
            pa.bool_(): pd.BooleanDtype(),
        }
        columns: dict[str, Any] = {}
        for field in table.schema:
            column = table[field.name]
            dtype = nullable.get(field.type) if column.null_count else None
            columns[field.name] = column.to_pandas() if dtype is None else pd.array(column.to_pylist(), dtype=dtype)
        return pd.DataFrame(columns)

    def write_delta(self, path: str) -> None:
        """Run and write a Delta table at ``path``, replacing what is there."""
        self.to_spark().write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)
