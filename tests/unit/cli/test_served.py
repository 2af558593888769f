"""``featurestore served append``: what was landed, once, and an exit code that says whether there was anything."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from featurestore.cli.main import main
from featurestore.codec.served import served_schema
from featurestore.errors import ExitCode
from featurestore.ir.served import served_landing
from featurestore.serving.served_files import ServedFiles
from tests.support.serving import NOW, scores


def run(repo: Path, *argv: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(["--repo", str(repo), "served", "append", *argv])
    return ended.value.code


def test_landed_rows_are_appended_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: shop\nonline_store: {type: memory}\n", encoding="utf-8")
    assert run(tmp_path) == ExitCode.NOTHING_TO_DO
    assert "no lookup has logged a prediction yet" in capsys.readouterr().out
    root, view = tmp_path / ".featurestore" / "offline", scores()
    rows = [{"user_id": number, "score": 0.5, "served_at": NOW} for number in range(3)]
    ServedFiles(str(root), tmp_path / "spool").write(
        served_landing(view), pa.Table.from_pylist(rows, schema=served_schema(view))
    )
    assert run(tmp_path, "--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == {"rows": {"model_predictions": 3}}
    assert run(tmp_path) == ExitCode.NOTHING_TO_DO
    assert "model_predictions" in capsys.readouterr().out
