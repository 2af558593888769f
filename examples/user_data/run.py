"""Runs one of ``snippets/``, with the names that they take as given: store, model_server, request, pd.

    python -m examples.user_data.run client_reads --repo PROJECT

PROJECT has the definitions of ``definitions/web``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from definitions.web.model import ClickModel
from featurestore import FeatureStore

__all__ = ["SNIPPETS", "ModelServer", "run_snippet"]

FOLDER = Path(__file__).parent / "snippets"
SNIPPETS = ("online_features", "precomputed_predictions", "client_reads", "client_writes")
_FEATURES = ("click_through_rate", "number_of_clicks", "average_page_duration")


class ModelServer:
    """A model that takes looked-up or posted rows, and gives them back with ``model_predictions``; counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self._model = ClickModel()

    def predict(self, rows: Any) -> dict[str, Any]:
        self.calls += 1
        posted = isinstance(rows, Mapping)
        given = dict(rows if posted else rows.to_numpy())
        score = self._model.predict({name: np.asarray(given[name]) for name in _FEATURES})["score"]
        kept = given if posted else {"user_id": given["user_id"]}
        return {**kept, "model_predictions": score}


def run_snippet(name: str, store: FeatureStore, model_server: ModelServer, post: Mapping[str, Any]) -> dict[str, Any]:
    """Run a snippet as it stands; give the names it has set."""
    path = FOLDER / f"{name}.py"
    given = {"store": store, "model_server": model_server, "pd": pd, "request": SimpleNamespace(POST=post)}
    namespace = dict(given)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), namespace)
    return {key: value for key, value in namespace.items() if key not in given and key != "__builtins__"}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.user_data.run", description=__doc__.splitlines()[0])
    parser.add_argument("snippet", choices=SNIPPETS)
    parser.add_argument("--repo", type=Path, default=Path.cwd(), help="the project's folder (default: here)")
    options = parser.parse_args(argv)
    posted = {
        "user_id": [1],
        "click_through_rate": [0.5],
        "number_of_clicks": [8],
        "average_page_duration": [20.0],
        "last_event": [datetime.now(UTC)],
    }
    server = ModelServer()
    with FeatureStore(options.repo) as store:
        found = run_snippet(options.snippet, store, server, {"user_data": posted})
    shown = found.get("features", found.get("model_predictions"))
    print(shown.to_dict() if hasattr(shown, "to_dict") else shown)
    print(f"{server.calls} calls of the model")
    return 0


if __name__ == "__main__":
    sys.exit(main())
