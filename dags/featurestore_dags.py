"""Airflow reads this file: one DAG for each schedule and connected group of views in the applied manifest."""

from __future__ import annotations

from pathlib import Path

from featurestore.orchestration.airflow import load_dags
from featurestore.settings import environment

globals().update(load_dags(environment("FEATURESTORE_REPO") or Path(__file__).resolve().parents[1]))
