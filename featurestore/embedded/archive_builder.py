"""Build the class-data archive for the local Spark JVM by running a small job once and keeping what it loaded."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from featurestore.embedded.appcds import QUIET_JVM, archive_path, base_archive_path
from featurestore.embedded.delta_jars import delta_jars
from featurestore.embedded.java import JavaHome, resolve_java_home
from featurestore.embedded.process import exclusive_lock
from featurestore.embedded.spark_submit import resolve_spark_submit, spark_home

__all__ = ["ArchiveBuild", "build_archive"]

_TRAINING = Path(__file__).resolve().parent / "archive_training.py"
_TIMEOUT_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveBuild:
    """What came of it: ``path`` is the archive if ``is_built``; ``problem`` says why it could not be made."""

    path: Path
    is_built: bool
    was_there: bool = False
    seconds: float = 0.0
    problem: str = ""


def build_archive() -> ArchiveBuild:
    """Build the archive for this machine's Java and Spark, once; about a minute and 200 MB.

    Idempotent and safe for several processes at once: made aside and renamed into place when whole. A failure is
    reported, not raised: Spark runs without the archive.
    """
    java = resolve_java_home()
    archive = archive_path(java, spark_home=spark_home(), spark_version=version("pyspark"), jars=delta_jars())
    with exclusive_lock(archive.with_name(f"{archive.name}.lock")):
        if archive.is_file():
            return ArchiveBuild(path=archive, is_built=True, was_there=True)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".build-") as temporary:
            staged = Path(temporary)
            problem = _build_base(java, staged) or _build_spark(java, staged, archive)
        seconds = time.monotonic() - started
        return ArchiveBuild(path=archive, is_built=not problem, seconds=seconds, problem=problem)


def _build_base(java: JavaHome, staged: Path) -> str:
    """Dump the JDK's own classes when the runtime ships without that archive; give the problem, if any."""
    base = base_archive_path(java)
    if base is None or base.is_file():
        return ""
    made = staged / "base.jsa"
    command = [str(java.home / "bin" / "java"), "-Xshare:dump", f"-XX:SharedArchiveFile={made}"]
    return _run(command, made, base, environment=None, cwd=staged)


def _build_spark(java: JavaHome, staged: Path, archive: Path) -> str:
    """Run the training job and dump the classes it loaded on exit; give the problem, if any."""
    made = staged / "spark.jsa"
    base = base_archive_path(java)
    under = (f"-XX:SharedArchiveFile={base}",) if base is not None else ()
    options = ("-XX:TieredStopAtLevel=1", f"-XX:ArchiveClassesAtExit={made}", *under, *QUIET_JVM)
    submit = resolve_spark_submit("local", use_archive=False, driver_options=options)
    command = submit.command(_TRAINING, str(staged / "tables"))
    return _run(command, made, archive, environment=submit.process_environment(), cwd=staged)


def _run(command: list[str], made: Path, target: Path, *, environment: Mapping[str, str] | None, cwd: Path) -> str:
    """Run a command that makes a file, and move the file to its place."""
    try:
        done = subprocess.run(
            command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    if done.returncode == 0 and made.is_file():
        made.replace(target)
        return ""
    last = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
    return f"{Path(command[0]).name} ended with exit code {done.returncode} and no {made.name}:\n{last}"
