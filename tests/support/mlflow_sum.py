"""An MLflow model's loader: it adds what it is given, and says in what form it got it."""

from __future__ import annotations

from typing import Any

import pandas as pd

__all__ = ["Sum"]


class Sum:
    def predict(self, given: Any) -> Any:
        if isinstance(given, pd.DataFrame):
            types = ",".join(f"{name}:{dtype}" for name, dtype in given.dtypes.items())
            return pd.DataFrame({"score": given.sum(axis=1), "types": types})
        if isinstance(given, dict):
            return {"score": sum(value.ravel() for value in given.values())}
        return given.sum(axis=1)


def _load_pyfunc(path: str) -> Sum:
    return Sum()
