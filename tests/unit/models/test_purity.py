"""A kind of model loads what it needs and no more. scikit-learn itself loads pandas where that is installed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from featurestore.ir.nodes import ModelOutputNode
from tests.support.model_files import classifier, stored, to_onnx, write_joblib

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import pickle, sys
import numpy as np
from pathlib import Path
from featurestore.models.files import ModelFiles
from featurestore.models.local import LocalModels

node = pickle.loads(Path("node").read_bytes())
found = LocalModels(files=ModelFiles(".")).predict(node, {"clicks": np.array([3, 19]), "rate": np.array([0.1, 0.9])})
assert len(found["score"]) == 2
print(*sorted({"pandas", "pyspark", "mlflow", "onnxruntime", "joblib"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("kind", "label", "needs"), [("joblib", None, ["joblib", "pandas"]), ("onnx", "label", ["onnxruntime"])]
)
def test_a_kind_loads_what_it_needs(tmp_path: Path, kind: str, label: str | None, needs: list[str]) -> None:
    path, model = tmp_path / f"m.{kind}", classifier()
    if kind == "onnx":
        to_onnx(path, model, options={id(model): {"zipmap": False}})
    else:
        write_joblib(path, model)
    node = stored(tmp_path, path, outputs=(ModelOutputNode(feature="score", name=label),))
    (tmp_path / "node").write_bytes(pickle.dumps(node))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split()) == (0, needs), done.stderr
