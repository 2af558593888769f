"""The archive for a cluster's workers: what is in it, and that a Python far from here imports it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from featurestore.cli.main import cli
from featurestore.embedded.worker_environment import WorkerEnvironment, pack_environment
from featurestore.errors import SettingsError, ToolMissing


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> WorkerEnvironment:
    """The package with what a lookup needs, the least there is."""
    return pack_environment(tmp_path_factory.mktemp("packed") / "environment.tar.gz", extras=())


def test_it_has_the_package_and_all_that_it_needs(packed: WorkerEnvironment) -> None:
    assert {"featurestore", "numpy", "pyarrow", "hiredis", "pyyaml", "croniter"} <= {
        name for name, _ in packed.packages
    }
    with tarfile.open(packed.path) as archive:
        names = archive.getnames()
        entries = archive.getmembers()
    assert {
        "bin/python",
        "lib/featurestore/codec/keys.py",
        "lib/featurestore/_jobs/optimize.py",
        "lib/featurestore/_spark_conf/standalone.conf",
        "lib/featurestore/py.typed",
    } <= set(names)
    assert any(name.startswith("lib/numpy/") and name.endswith(".so") for name in names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("lib/pyspark/") or ".." in name]
    assert names == sorted(names) and {entry.mtime for entry in entries} == {0}, "the same packages, the same bytes"


def test_the_python_in_it_imports_from_it_alone(packed: WorkerEnvironment, tmp_path: Path) -> None:
    with tarfile.open(packed.path) as archive:
        archive.extractall(tmp_path / "environment", filter="data")
    program = "import sys, numpy, hiredis, pyarrow, featurestore.codec.keys as keys; print(*sys.path, sep='\\n')\n"
    program += "print(numpy.__file__, hiredis.__file__, pyarrow.__file__, keys.__file__)"
    environment = {
        "PATH": f"{Path(sys.executable).resolve().parent}{os.pathsep}/usr/bin:/bin",
        "PYTHONPATH": "other.zip",
    }
    done = subprocess.run(
        ["./environment/bin/python", "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    *paths, modules = done.stdout.splitlines()
    lib = tmp_path / "environment" / "lib"
    assert paths[1:3] == [str(lib), str(tmp_path / "other.zip")]
    assert all(Path(name).is_relative_to(lib) for name in modules.split())
    assert not list(lib.rglob("_virtualenv*")), "nothing of this environment itself"


def test_a_node_without_the_python_is_told_so(packed: WorkerEnvironment, tmp_path: Path) -> None:
    with tarfile.open(packed.path) as archive:
        archive.extract("bin/python", tmp_path, filter="data")
    environment = {"PATH": "/usr/bin:/bin", "FEATURESTORE_PYTHON": "python9.99"}
    done = subprocess.run([tmp_path / "bin" / "python"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "no python9.99 on this node's PATH; install it, or set spark.executorEnv.FEATURESTORE_PYTHON" in done.stderr


def test_what_is_not_installed_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match=r"not installed in .*: no-such-package \(asked for\)"):
        pack_environment(tmp_path / "environment.tar.gz", extras=(), others=("no-such-package",))
    with pytest.raises(SettingsError, match=r"valid are \.tar\.gz and \.tgz"):
        pack_environment(tmp_path / "environment.zip", extras=())
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_goes_into_the_profile(
    packed: WorkerEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def pack(path: Path, **options: object) -> WorkerEnvironment:
        asked.append((path, options))
        return packed

    monkeypatch.setattr("featurestore.embedded.worker_environment.pack_environment", pack)
    found = CliRunner().invoke(cli, ["package", "x.tar.gz", "--extra", "spark", "--with", "scikit-learn"])
    assert asked == [(Path("x.tar.gz"), {"extras": ("spark",), "others": ("scikit-learn",)})]
    assert found.output.splitlines()[-2:] == [
        f"spark.archives  {packed.path}#environment",
        "spark.pyspark.python  ./environment/bin/python",
    ]
