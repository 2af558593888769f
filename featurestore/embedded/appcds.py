"""A class-data archive (AppCDS) for the local Spark JVM: its classes are mapped in, not parsed at each start.

The archive only ever saves time: with ``-Xshare:auto`` a JVM that cannot use it starts without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from featurestore.embedded.cache import cache_dir
from featurestore.embedded.java import JavaHome

__all__ = ["QUIET_JVM", "archive_options", "archive_path", "base_archive_path"]

# Warnings of the JVM go to stderr: stdout belongs to the job's result line. Those on the archive itself are noise.
QUIET_JVM = ("-Xlog:disable", "-Xlog:all=warning:stderr", "-Xlog:cds*=off:stderr")


def archive_path(java: JavaHome, *, spark_home: Path, spark_version: str, jars: Sequence[Path]) -> Path:
    """The archive for this Java, Spark and class path; the file exists only when whole."""
    stamp = (spark_home / "jars").stat().st_mtime_ns
    key = _key(java.version, str(java.real_home), spark_version, str(spark_home), str(stamp), *map(str, jars))
    return cache_dir("appcds") / f"java-{java.version}-spark-{spark_version}-{key}.jsa"


def base_archive_path(java: JavaHome) -> Path | None:
    """The archive of the JDK's own classes under Spark's; None when the Java ships one, as most do.

    Spark's archive records this path: the file must stay where it was when that one was made.
    """
    if (java.real_home / "lib" / "server" / "classes.jsa").is_file():
        return None
    return cache_dir("appcds") / f"java-{java.version}-{_key(java.version, str(java.real_home))}.jsa"


def archive_options(java: JavaHome, *, spark_home: Path, spark_version: str, jars: Sequence[Path]) -> tuple[str, ...]:
    """Driver options that use the archive; none when it has not been built."""
    archive = archive_path(java, spark_home=spark_home, spark_version=spark_version, jars=jars)
    base = base_archive_path(java)
    layers = [path for path in (base, archive) if path is not None]
    # spark-submit splits options at blanks, the JVM layers at colons.
    if not all(path.is_file() and not any(sign in str(path) for sign in " \t:'\"") for path in layers):
        return ()
    return ("-Xshare:auto", f"-XX:SharedArchiveFile={':'.join(map(str, layers))}", *QUIET_JVM)


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
