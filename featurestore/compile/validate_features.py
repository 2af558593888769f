"""Problems of feature names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from featurestore.compile.report import Report
from featurestore.compile.schemas import join_keys_of
from featurestore.ir.columns import RESERVED
from featurestore.spec.feature_view import BatchFeatureView, OnDemandFeatureView
from featurestore.spec.prediction import PredictionView

__all__ = ["check_features"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_features(
    view: BatchFeatureView | OnDemandFeatureView | PredictionView, names: Sequence[str], report: Report
) -> None:
    """Refuse names that repeat, are no names, or belong to join keys or to the table's own columns."""
    keys = set() if isinstance(view, OnDemandFeatureView) else {key.name for key in join_keys_of(view.entities)}
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            report.add(view, f"has two features called {name!r}; rename one of them by name=")
        if name in keys:
            report.add(view, f"feature {name!r} has the name of a join key; leave it out, or rename it")
        elif name in RESERVED:
            report.add(
                view,
                f"feature {name!r} has the name of a column that every table has; "
                f"reserved are {', '.join(sorted(RESERVED))}",
            )
        elif not _NAME.fullmatch(name):
            report.add(
                view,
                f"feature name {name!r} is not valid; write small letters, digits and _, a letter first "
                "(field_mapping of a source renames columns)",
            )
