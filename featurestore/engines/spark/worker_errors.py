"""Errors that Python workers raised, under their own class in the driver."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.errors import PythonException

from featurestore import errors

__all__ = ["raised_in_worker"]

_NAMED = re.compile(r"^featurestore\.errors\.(\w+): (.*?)(?=\n\S|\Z)", re.MULTILINE | re.DOTALL)


@contextmanager
def raised_in_worker() -> Iterator[None]:
    """Raise a package error of a Python worker as itself, where Spark would tell it as a traceback's text."""
    try:
        yield
    except PythonException as error:
        found = _NAMED.findall(str(error))
        kind = getattr(errors, found[-1][0], None) if found else None
        if not (isinstance(kind, type) and issubclass(kind, errors.FeatureStoreError) and _is_plain(kind)):
            raise
        raise kind(found[-1][1].strip()) from error


def _is_plain(kind: type[errors.FeatureStoreError]) -> bool:
    """Say whether the message is all that the error is made of."""
    return kind.__init__ is errors.FeatureStoreError.__init__
