"""Problems of expectations: their names, options and columns."""

from __future__ import annotations

import json
from collections.abc import Iterable

from featurestore.compile.expectation_names import EXPECTATION_NAMES
from featurestore.compile.report import Report, choices, unknown
from featurestore.compile.schemas import Schemas, inputs_of, join_keys_of
from featurestore.ir.columns import RESERVED
from featurestore.spec.expectation import Expectation
from featurestore.spec.feature_view import BatchFeatureView
from featurestore.spec.prediction import PredictionView

__all__ = ["check_expectations"]

_ONE_COLUMN = ("column", "column_A", "column_B")
_COLUMNS = ("column_list", "column_set")


def check_expectations(view: BatchFeatureView | PredictionView, schemas: Schemas, report: Report) -> None:
    """Check against the columns of the rows that the expectation sees: the inputs', or the computed ones."""
    for expectation in view.expectations:
        for message in _problems(expectation, view, schemas):
            report.add(view, f"expectation {expectation.name!r}: {message}")


def _problems(expectation: Expectation, view: BatchFeatureView | PredictionView, schemas: Schemas) -> Iterable[str]:
    if expectation.name not in EXPECTATION_NAMES:
        yield _unknown_name(expectation.name)
    if expectation.severity not in ("critical", "warning"):
        yield choices("severity", expectation.severity, ("critical", "warning"))
    if expectation.on not in ("input", "output"):
        yield choices("on", expectation.on, ("input", "output"))
        return
    if expectation.on == "input" and isinstance(view, PredictionView):
        yield 'on="input" is for feature views; put it on the view that computes the input'
        return
    try:
        json.dumps(expectation.arguments)
    except (TypeError, ValueError) as error:
        yield f"its arguments are no JSON values ({error}); use numbers, strings, lists and mappings"
    valid = _columns(expectation, view, schemas)
    if valid is None:
        return
    named = [expectation.arguments.get(name) for name in _ONE_COLUMN]
    for option in _COLUMNS:
        value = expectation.arguments.get(option)
        named += value if isinstance(value, list | tuple | set) else []
    for name in named:
        if isinstance(name, str) and name not in valid:
            yield unknown(f"column in the {expectation.on} rows:", name, valid)


def _columns(expectation: Expectation, view: BatchFeatureView | PredictionView, schemas: Schemas) -> set[str] | None:
    if expectation.on == "output" or isinstance(view, PredictionView):
        features = schemas.features(view)
        if features is None:
            return None
        return {*(item.name for item in features), *(key.name for key in join_keys_of(view.entities)), *RESERVED}
    found: set[str] = set()
    for entry in inputs_of(view):
        columns = schemas.columns(entry)
        if columns is None:
            return None
        found |= {column.name for column in columns}
    return found


def _unknown_name(name: str) -> str:
    found, _, _ = unknown("expectation", name, EXPECTATION_NAMES).partition(";")
    return f"{found}; valid are the core ones of Great Expectations"
