"""The rows that a training set is asked for: frames, queries and files, as one Spark frame with row numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurestore.errors import Problem, SchemaMismatch
from featurestore.ir.columns import EVENT_TIMESTAMP
from featurestore.runtime.context import RuntimeContext

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["read_spine"]


def read_spine(context: RuntimeContext, entity_df: Any) -> DataFrame:
    """Give the spine with ``_row``: 0, 1, … in the order of frames and files; unique for Spark frames and queries."""
    from featurestore.engines.spark.historical import with_row_numbers

    found = _read(context, entity_df)
    spine: DataFrame = found
    if not hasattr(found, "sparkSession"):
        spine = context.spark.createDataFrame(with_row_numbers(found))
    if EVENT_TIMESTAMP not in spine.columns:
        problem = Problem(
            location="entity_df",
            object=EVENT_TIMESTAMP,
            message=f"the column is missing; found {', '.join(spine.columns)}; it says as of when each row asks",
        )
        raise SchemaMismatch([problem])
    return spine


def _read(context: RuntimeContext, entity_df: Any) -> Any:
    import pyarrow as pa

    if isinstance(entity_df, str | Path):
        return _read_text(context, str(entity_df))
    if isinstance(entity_df, pa.Table) or hasattr(entity_df, "sparkSession"):
        return entity_df
    if hasattr(entity_df, "iloc"):
        return pa.Table.from_pandas(entity_df, preserve_index=False)
    if isinstance(entity_df, dict):
        return pa.table(entity_df)
    raise TypeError(
        f"entity_df is a {type(entity_df).__name__}; valid are a pandas, pyarrow or Spark frame, a dict of columns, an "
        "SQL query, and the path of a Parquet or CSV file or a Delta table"
    )


def _read_text(context: RuntimeContext, text: str) -> Any:
    """Read a path, or run a query."""
    if text.lstrip().lower().startswith(("select ", "select\n", "with ")):
        return context.spark.sql(text)
    path = context.settings.absolute(text)
    if text.endswith(".csv"):
        from pyarrow import csv

        return csv.read_csv(path)
    if "://" not in path and (Path(path) / "_delta_log").is_dir():
        from deltalake import DeltaTable

        return DeltaTable(path).to_pyarrow_table()
    import pyarrow.parquet as pq

    return pq.read_table(path)
