"""Jars come whole and verified or not at all; the mirror here is a folder read through a file:// address."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from featurestore.embedded.delta_jars import DELTA_JARS, DeltaJar, delta_jars, missing_jars
from featurestore.errors import ToolMissing

CONTENT = b"a jar" * 1000
JAR = DeltaJar(artifact="delta-example", version="1.0", sha256=hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the mirror keeps the example jar."""
    path = tmp_path / "mirror" / JAR.repository_path
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    monkeypatch.setenv("FEATURESTORE_MAVEN_MIRROR", (tmp_path / "mirror").as_uri() + "/")
    return path


def test_a_jar_is_fetched_once(cache: Path, mirror: Path) -> None:
    (path,) = delta_jars([JAR])
    assert path == cache / "jars" / "delta-example-1.0.jar"
    assert path.read_bytes() == CONTENT
    mirror.unlink()
    assert delta_jars([JAR]) == (path,)


def test_a_wrong_checksum_is_refused_and_leaves_nothing(cache: Path, mirror: Path) -> None:
    mirror.write_bytes(b"something else")
    with pytest.raises(ToolMissing, match="was refused: its SHA-256 is") as caught:
        delta_jars([JAR])
    assert JAR.sha256 in str(caught.value)
    assert list((cache / "jars").iterdir()) == []


def test_a_damaged_jar_in_the_cache_is_fetched_anew(cache: Path, mirror: Path) -> None:
    assert mirror.is_file()
    (path,) = delta_jars([JAR])
    path.write_bytes(CONTENT[:100])
    assert missing_jars([JAR]) == (JAR,)
    assert delta_jars([JAR])[0].read_bytes() == CONTENT
    assert cache in path.parents


def test_without_a_source_the_message_says_which_file_goes_where(cache: Path, mirror: Path) -> None:
    mirror.unlink()
    with pytest.raises(ToolMissing) as caught:
        delta_jars([JAR])
    message = str(caught.value)
    assert f"put the file (SHA-256 {JAR.sha256}) at {cache / 'jars' / JAR.file_name}" in message
    assert "FEATURESTORE_MAVEN_MIRROR" in message
    assert list((cache / "jars").iterdir()) == []


def test_credentials_of_a_mirror_are_never_shown(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurestore.embedded.delta_jars._ATTEMPTS", 1)
    monkeypatch.setenv("FEATURESTORE_MAVEN_MIRROR", "http://someone:secret@127.0.0.1:9/maven")
    with pytest.raises(ToolMissing) as caught:
        delta_jars([JAR])
    assert "http://127.0.0.1:9/maven/" in str(caught.value)
    assert "secret" not in str(caught.value) + repr(caught.value.context)
    assert cache.is_dir()


def test_the_jars_are_those_that_fit_the_pinned_spark() -> None:
    assert [jar.file_name for jar in DELTA_JARS] == ["delta-spark_4.2_2.13-4.4.0.jar", "delta-storage-4.4.0.jar"]
