"""Train the late-arrival model on a point-in-time training set, and store it with its version.

The views must cover the training days. From an empty project, thirty days of training data:

    python -m definitions.flights.feed --steps 31
    featurestore apply
    featurestore materialize-incremental <today> -v connection_record -v carrier_delays -v airport_delays -v weather
    python -m definitions.flights.train --version 1
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from deltalake import DeltaTable
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from definitions.flights.model import FEATURES
from definitions.flights.replay import DATA_FOLDER
from featurestore import FeatureStore

__all__ = ["SEED", "fit", "store_model", "training_set"]

SEED = 20130101
HOLDOUT_SHARE = 0.2
MODELS = Path(__file__).resolve().parent / "models"


def training_set(store: FeatureStore) -> pd.DataFrame:
    """Join the model's features to every completed flight as they were known at its scheduled departure."""
    covered = store.status()["views"]["connection_record"]["covered"]
    if not covered:
        raise SystemExit("connection_record covers nothing yet; materialize the views first (see this module's head)")
    start, end = pd.Timestamp(covered[0][0]), pd.Timestamp(covered[-1][1])
    columns = ["carrier", "origin", "dest", "scheduled_departure", "late"]
    flights = DeltaTable(store.settings.absolute(f"{DATA_FOLDER}/flights")).to_pandas(columns=columns)
    departed = flights.scheduled_departure
    spine = flights[flights.late.notna() & (departed >= start + timedelta(days=1)) & (departed < end)]
    spine = spine.rename(columns={"scheduled_departure": "event_timestamp"})
    spine = spine.sort_values(["event_timestamp", "carrier", "origin", "dest"], kind="stable").reset_index(drop=True)
    return store.get_historical_features(spine, "late_arrival_inputs", availability="scheduled").to_df()


def fit(rows: pd.DataFrame) -> tuple[Pipeline, dict[str, Any]]:
    """Fit on the earlier rows and measure on the last fifth; the same rows give the same model."""
    cut = int(len(rows) * (1 - HOLDOUT_SHARE))
    matrix = rows[list(FEATURES)].astype("float64").to_numpy()
    labels = rows.late.astype("int64").to_numpy()
    classifier = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=1000, random_state=SEED),
    )
    classifier.fit(matrix[:cut], labels[:cut])
    probability = classifier.predict_proba(matrix[cut:])[:, 1]
    measured = {
        "rows": len(rows),
        "late_share": round(float(labels.mean()), 4),
        "holdout_rows": len(rows) - cut,
        "holdout_auc": round(float(roc_auc_score(labels[cut:], probability)), 4),
        "holdout_brier": round(float(brier_score_loss(labels[cut:], probability)), 4),
    }
    return classifier, measured


def store_model(classifier: Pipeline, measured: dict[str, Any], version: str, folder: Path = MODELS) -> Path:
    """Write the model and its card under its version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"late_arrival-{version}.joblib"
    joblib.dump(classifier, path, compress=3)
    card = {"model": "late_arrival", "version": version, "features": list(FEATURES), "seed": SEED, **measured}
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return path


def main(argv: list[str] | None = None, say: Callable[[str], None] = print) -> int:
    parser = argparse.ArgumentParser(prog="python -m definitions.flights.train", description=__doc__.splitlines()[0])
    parser.add_argument("--repo", type=Path, default=Path.cwd(), help="the project's folder (default: here)")
    parser.add_argument("--version", required=True, help="the version to store the model under")
    options = parser.parse_args(argv)
    with FeatureStore(options.repo) as store:
        classifier, measured = fit(training_set(store))
    path = store_model(classifier, measured, options.version)
    say(f"{path}: {', '.join(f'{name} {value}' for name, value in measured.items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
