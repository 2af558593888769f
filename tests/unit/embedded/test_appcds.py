"""The archive is used when all of it is there, and is another one for another Java or class path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from featurestore.embedded.appcds import archive_options, archive_path, base_archive_path
from featurestore.embedded.java import JavaHome


@pytest.fixture
def spark(tmp_path: Path) -> Path:
    (tmp_path / "spark" / "jars").mkdir(parents=True)
    return tmp_path / "spark"


@pytest.fixture
def java(tmp_path: Path) -> JavaHome:
    """A Java that ships the archive of its own classes."""
    home = tmp_path / "java"
    (home / "lib" / "server").mkdir(parents=True)
    (home / "lib" / "server" / "classes.jsa").touch()
    return JavaHome(home=home, real_home=home, version="17.0.9", origin="system")


@pytest.mark.usefixtures("cache")
def test_options_appear_with_the_archive(java: JavaHome, spark: Path) -> None:
    where = {"spark_home": spark, "spark_version": "4.2.0", "jars": [Path("/a.jar")]}
    assert archive_options(java, **where) == ()
    archive = archive_path(java, **where)
    archive.touch()
    options = archive_options(java, **where)
    assert options[:2] == ("-Xshare:auto", f"-XX:SharedArchiveFile={archive}")
    assert archive_options(replace(java, version="17.0.10"), **where) == ()
    assert archive_options(java, **{**where, "jars": [Path("/b.jar")]}) == ()


@pytest.mark.usefixtures("cache")
def test_a_java_without_its_own_archive_needs_a_base_layer(java: JavaHome, spark: Path) -> None:
    (java.real_home / "lib" / "server" / "classes.jsa").unlink()
    archive = archive_path(java, spark_home=spark, spark_version="4.2.0", jars=[])
    base = base_archive_path(java)
    assert base is not None
    archive.touch()
    assert archive_options(java, spark_home=spark, spark_version="4.2.0", jars=[]) == ()
    base.touch()
    assert f"-XX:SharedArchiveFile={base}:{archive}" in archive_options(
        java, spark_home=spark, spark_version="4.2.0", jars=[]
    )


def test_a_cache_path_that_options_cannot_hold_means_no_archive(
    java: JavaHome, spark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESTORE_CACHE", str(tmp_path / "two words"))
    archive_path(java, spark_home=spark, spark_version="4.2.0", jars=[]).touch()
    assert archive_options(java, spark_home=spark, spark_version="4.2.0", jars=[]) == ()
