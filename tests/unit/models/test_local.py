"""Models in a process: loaded once, checked against what was applied, found in a folder or a zip."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featurestore.compile import write_archive
from featurestore.errors import InferenceFailed, StateError
from featurestore.ir.nodes import CodeRef, ModelFileNode, ModelNode
from featurestore.models.files import ModelFiles
from featurestore.models.local import LocalModels
from featurestore.serving.code import ImportedCode
from tests.support.model_files import classifier, stored, write_joblib

INPUTS = {"rate": np.array([0.1, 0.9]), "clicks": np.array([3, 19])}
CODE = ModelNode(name="m", version="1", load=CodeRef(path="tests.support.models:load_linear", digest=""))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Make a repo whose model lies beside the definitions, and one in a folder."""
    repo = tmp_path / "repo"
    (repo / "definitions").mkdir(parents=True)
    (repo / "definitions" / "__init__.py").touch()
    write_joblib(repo / "models" / "ctr.joblib", classifier())
    return repo


def test_threads_load_a_model_once() -> None:
    models, ready = LocalModels(), threading.Barrier(8)
    loaded: list[Any] = []

    def ask() -> None:
        ready.wait()
        loaded.append(models.load(CODE))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(model) for model in loaded}) == 1


def test_code_comes_from_who_holds_it_and_files_are_not_code(repo: Path) -> None:
    checked: list[CodeRef] = []
    models = LocalModels(ImportedCode(check=checked.append).resolve, files=ModelFiles(repo))
    models.load(CODE)
    models.load(stored(repo, repo / "models" / "ctr.joblib"))
    assert checked == [CODE.load]


def test_a_file_that_changed_since_apply_is_refused(repo: Path) -> None:
    path = repo / "models" / "ctr.joblib"
    node = stored(repo, path)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(StateError, match=r"'models/ctr.joblib' in .* is not the one that was applied"):
        LocalModels(files=ModelFiles(repo)).load(node)
    path.unlink()
    with pytest.raises(StateError, match=r"there is no model file 'models/ctr.joblib' in"):
        LocalModels(files=ModelFiles(repo)).load(node)


def test_files_and_folders_are_found_in_the_definitions_zip(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    model = repo / "models" / "ctr.joblib"
    _, archive = write_archive(repo, "definitions", tmp_path / "code", ["models"])
    for path in (model, model.parent):
        node = stored(repo, path)
        assert isinstance(node.load, ModelFileNode)
        first = ModelFiles(archive).find(node.load)
        assert ModelFiles(archive).find(node.load) == first and not first.is_relative_to(repo)
    assert LocalModels(files=ModelFiles(archive)).predict(stored(repo, model), INPUTS)["score"].tolist() == [0, 1]
    assert sorted(path.name for path in (folder / first.parents[1].name).iterdir()) == sorted(
        stored(repo, path).load.digest
        for path in (model, model.parent)  # type: ignore[union-attr]
    )
    other = tmp_path / "other.zip"
    write_archive(repo, "definitions", tmp_path / "without")[1].rename(other)
    changed = write_joblib(repo / "models" / "new.joblib", classifier(named=True))
    with pytest.raises(StateError, match=r"there is no model file 'models/new.joblib' in"):
        ModelFiles(other).find(stored(repo, changed).load)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["joblib", "onnx", "mlflow"])
def test_a_missing_package_is_named_with_what_to_install(
    repo: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    module = {"joblib": "joblib", "onnx": "onnxruntime", "mlflow": "mlflow"}[kind]
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    node = stored(repo, repo / "models" / "ctr.joblib", format=kind)
    message = rf"\(models/ctr.joblib\) cannot be loaded: a {kind} model needs the module '{module}', .*featurestore\[m"
    with pytest.raises(InferenceFailed, match=message):
        LocalModels(files=ModelFiles(repo)).load(node)


def test_what_code_gives_must_predict() -> None:
    node = ModelNode(name="m", version="1", load=CodeRef(path="tests.support.models:double_rate", digest=""))
    with pytest.raises(InferenceFailed, match=r"model 'm' version '1' \(tests.support.models:double_rate\) cannot be"):
        LocalModels().load(node)
    node = ModelNode(name="m", version="1", load=CodeRef(path="builtins:dict", digest=""))
    with pytest.raises(InferenceFailed, match=r"gave dict without predict\(\); valid is an object whose predict maps"):
        LocalModels().load(node)
