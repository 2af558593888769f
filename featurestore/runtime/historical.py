"""Training sets and offline reads: point-in-time joins over the same Delta tables that publication reads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyspark.sql import DataFrame

__all__ = ["RetrievalJob"]


class RetrievalJob:
    """A planned read: nothing runs until one of its results is asked for."""

    def __init__(self, plan: Callable[[], DataFrame], *, in_order: bool) -> None:
        self._plan = plan
        self._in_order = in_order
        self._frame: DataFrame | None = None

    def to_spark(self) -> DataFrame:
        """Give the Spark frame; a training set carries its input order as ``_row``."""
        if self._frame is None:
            self._frame = self._plan()
        return self._frame

    def to_arrow(self) -> pa.Table:
        """Run and give an Arrow table, in the input's order; integers with nulls stay integers."""
        frame = self.to_spark()
        if not self._in_order:
            return frame.toArrow()
        return frame.orderBy("_row").drop("_row").toArrow()

    def to_df(self) -> pd.DataFrame:
        """Run and give a pandas frame, in the input's order; integer columns with nulls are pandas' Int64."""
        import pandas as pd

        types = {"int64": pd.Int64Dtype(), "int32": pd.Int32Dtype(), "bool": pd.BooleanDtype()}
        table = self.to_arrow()
        nullable = {column: types.get(str(table.schema.field(column).type)) for column in table.column_names}

        frame = table.to_pandas(types_mapper=None)
        for column, dtype in nullable.items():
            if dtype is not None and table[column].null_count:
                frame[column] = table[column].to_pandas(types_mapper=lambda _, dtype=dtype: dtype)
        return frame

    def write_delta(self, path: str) -> None:
        """Run and write a Delta table at ``path``, replacing what is there."""
        self.to_spark().write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)


def _unused(_: datetime | Any) -> None: ...
