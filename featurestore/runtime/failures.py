"""Errors of Spark, Delta, Arrow, databases and file systems, as the package tells them."""

from __future__ import annotations

import functools

from featurestore.errors import RunFailed
from featurestore.plan.stages import Stage

__all__ = ["first_line", "foreign_errors", "told_as"]


@functools.cache
def foreign_errors() -> tuple[type[Exception], ...]:
    """Name what Spark, Delta, Arrow, the registry's database and file systems raise: it ends a stage, not the job."""
    from deltalake.exceptions import DeltaError
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]
    from pyarrow.lib import ArrowException
    from pyspark.errors import PySparkException
    from sqlalchemy.exc import SQLAlchemyError

    return (PySparkException, Py4JError, DeltaError, ArrowException, SQLAlchemyError, OSError)


def told_as(stage: Stage, error: Exception) -> RunFailed:
    """Give an error of another package as that of a view's run."""
    return RunFailed(f"{stage}: {type(error).__name__}: {first_line(error)}", view=stage.view)


def first_line(error: Exception) -> str:
    """Give the first line of what a foreign error says."""
    text = str(error).strip()
    return text.splitlines()[0][:1000] if text else "no message"
