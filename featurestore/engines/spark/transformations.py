"""A view's own SQL or PySpark function, run on its input frames."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from featurestore.errors import DefinitionError, Problem, TransformationFailed
from featurestore.ir.nodes import CodeRef
from featurestore.ondemand.functions import resolve

__all__ = ["run_function", "run_sql"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def run_sql(spark: SparkSession, view: str, text: str, frames: Mapping[str, DataFrame]) -> DataFrame:
    """Run SQL in which ``{name}`` stands for an input; the temporary views it needs are gone afterwards."""
    unknown = sorted(set(_PLACEHOLDER.findall(text)) - set(frames))
    if unknown:
        message = f"{', '.join(f'{{{name}}}' for name in unknown)} names no input; valid are {_shown(frames)}"
        raise DefinitionError([Problem(location="sql", object=view, message=message)])
    names = {name: f"input_{uuid.uuid4().hex}" for name in frames}
    try:
        for name, frame in frames.items():
            frame.createOrReplaceTempView(names[name])
        return spark.sql(_PLACEHOLDER.sub(lambda found: names[found[1]], text))
    except PySparkException as error:
        raise TransformationFailed(
            f"view {view!r}: its SQL failed: {_unmasked(str(error), names)}", view=view
        ) from error
    finally:
        for temporary in names.values():
            spark.catalog.dropTempView(temporary)


def run_function(view: str, code: CodeRef, frames: Mapping[str, DataFrame]) -> DataFrame:
    """Call the function with the input frames in the order of the view's sources."""
    function = resolve(code.path)
    try:
        found = function(*frames.values())
    except Exception as error:  # user code may raise anything; it is told with its owner's name
        raise TransformationFailed(
            f"view {view!r}: {code.path} raised {type(error).__name__}: {error}", view=view, function=code.path
        ) from error
    if not isinstance(found, DataFrame):
        raise TransformationFailed(
            f"view {view!r}: {code.path} gave a {type(found).__name__}; valid is a PySpark DataFrame",
            view=view,
            function=code.path,
        )
    return found


def _shown(frames: Mapping[str, DataFrame]) -> str:
    return ", ".join(f"{{{name}}}" for name in frames)


def _unmasked(message: str, names: Mapping[str, str]) -> str:
    for name, temporary in names.items():
        message = message.replace(temporary, f"{{{name}}}")
    return message
