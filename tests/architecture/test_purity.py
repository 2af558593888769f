"""What a fresh interpreter loads: heavy packages stay out of the layers that must be light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"pyspark", "delta", "pandas", "airflow", "redis", "sqlalchemy", "great_expectations", "sklearn", "rich"}

CASES = [
    ("featurestore", HEAVY),
    ("featurestore.types", HEAVY),
    ("featurestore.ir.manifest", HEAVY),
    ("featurestore.ir.serialize", HEAVY),
    ("featurestore.compile", HEAVY),
    ("featurestore.plan.plan", HEAVY),
    ("featurestore.plan.stages", HEAVY),
    ("featurestore.orchestration.graph", HEAVY),
    ("featurestore.orchestration.commands", HEAVY),
    ("featurestore.store", HEAVY),
    ("featurestore.serving.client", HEAVY),
    ("featurestore.serving.connect", HEAVY),
    ("featurestore.ingest.connect", HEAVY),
    ("featurestore.stores.redis.store", HEAVY),
    ("featurestore.cli.main", HEAVY - {"rich"}),
    ("definitions.flights.predictions", HEAVY),
    ("definitions.web.features", HEAVY),
]


@pytest.mark.parametrize(("module", "forbidden"), CASES, ids=[module for module, _ in CASES])
def test_import_stays_light(module: str, forbidden: set[str]) -> None:
    code = f"import json, sys; import {module}; print(json.dumps(sorted({{n.partition('.')[0] for n in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(forbidden & set(json.loads(done.stdout))) == []
