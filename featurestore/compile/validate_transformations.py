"""Problems of what turns a view's inputs into rows: SQL, functions, or nothing."""

from __future__ import annotations

import re
from pathlib import Path

from featurestore.compile.aggregates import is_lossless
from featurestore.compile.catalog import selection_of
from featurestore.compile.report import Report, unknown
from featurestore.compile.schemas import Schemas, inputs_of
from featurestore.compile.validate_code import function_problems
from featurestore.spec.dtypes import show_dtype
from featurestore.spec.feature_view import BatchFeatureView
from featurestore.spec.source import Source

__all__ = ["check_transformation"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def check_transformation(view: BatchFeatureView, schemas: Schemas, report: Report, repo: Path) -> None:
    """Check the one way in which the view's rows come about; aggregations are checked on their own."""
    if (view.sql or view.function) and not view.schema:
        way = "SQL" if view.sql else "a function"
        columns = "the columns that its aggregations read" if view.aggregations else "its features"
        report.add(
            view, f"is made by {way} and has no schema; name {columns}, such as schema=[Field(name=..., dtype=...)]"
        )
    if view.sql is not None:
        _check_sql(view, view.sql, report)
    elif view.function is not None:
        for message in function_problems(view.function, repo, "function"):
            report.add(view, message)
    elif not view.aggregations:
        if view.lookback is not None:
            report.add(view, "has lookback= and no sql or function that it could concern; leave it out")
        _check_columns(view, schemas, report)


def _check_sql(view: BatchFeatureView, text: str, report: Report) -> None:
    if not text.strip():
        report.add(view, "sql= is empty; write a SELECT, such as SELECT ... FROM {clicks}")
        return
    names = {
        entry.name if isinstance(entry, Source) else selection_of(entry).alias or selection_of(entry).view.name
        for entry in inputs_of(view)
    }
    found = set(_PLACEHOLDER.findall(text))
    for name in sorted(found - names):
        report.add(view, f"sql: {unknown('source', '{' + name + '}', {'{' + valid + '}' for valid in names})}")
    for name in sorted(names - found):
        report.add(
            view,
            f"sql does not read source {name!r}; write {{{name}}} where its rows go, or take it out of the sources",
        )


def _check_columns(view: BatchFeatureView, schemas: Schemas, report: Report) -> None:
    inputs = inputs_of(view)
    columns = schemas.columns(inputs[0]) if len(inputs) == 1 else None
    if columns is None:
        return
    types = {column.name: column.dtype for column in columns}
    for field in view.schema:
        if field.name not in types:
            report.add(view, f"schema: {unknown('column', field.name, types)}")
        elif not is_lossless(types[field.name], field.dtype):
            report.add(
                view,
                f"schema: column {field.name!r} has type {show_dtype(types[field.name])} in the source, which "
                f"{show_dtype(field.dtype)} does not hold",
            )
    if not view.schema and not schemas.features(view):
        report.add(view, "its source has no columns besides keys and timestamps; there is nothing to serve")
