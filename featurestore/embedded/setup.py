"""Find, and where needed fetch, every tool the project runs on: ``python -m featurestore.embedded.setup``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from featurestore.embedded.archive_builder import build_archive
from featurestore.embedded.delta_jars import DELTA_VERSION, delta_jars, missing_jars
from featurestore.embedded.java import resolve_java_home
from featurestore.embedded.redis_server import find_redis_server
from featurestore.embedded.spark_submit import spark_home
from featurestore.errors import ExitCode, FeatureStoreError, ToolMissing

__all__ = ["Tool", "find_tools", "main"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool: what was found and where; ``problem`` says what is missing and what to do, empty when all is well."""

    name: str
    version: str = ""
    origin: str = ""
    path: str = ""
    problem: str = ""

    @property
    def is_usable(self) -> bool:
        return not self.problem


def find_tools(*, fetch: bool = False) -> Iterator[Tool]:
    """Look for each tool in turn; ``fetch`` downloads the Delta jars that are missing. Raises nothing."""
    for name, look in (
        ("java", _java),
        ("spark", _spark),
        ("delta", _fetched_delta if fetch else _present_delta),
        ("redis", _redis),
        ("airflow", _airflow),
    ):
        yield _guarded(name, look)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per tool and build the class-data archive if asked; the exit code says whether all were found."""
    parser = argparse.ArgumentParser(prog="python -m featurestore.embedded.setup", description=__doc__)
    parser.add_argument(
        "--archive", action="store_true", help="also build the archive that makes local Spark start faster"
    )
    options = parser.parse_args(arguments)
    started = time.monotonic()
    problems = 0
    for tool in find_tools(fetch=True):
        problems += not tool.is_usable
        _say(tool.name, _describe(tool), time.monotonic() - started)
        started = time.monotonic()
    if options.archive and not problems:
        built = build_archive()
        found = "was there" if built.was_there else "built" if built.is_built else f"not built: {built.problem}"
        _say("archive", f"{found}  {built.path}" if built.is_built else found, time.monotonic() - started)
    return ExitCode.FAILED if problems else ExitCode.DONE


def _say(name: str, text: str, seconds: float) -> None:
    sys.stdout.write(f"  {name:<8} {text}  ({seconds:.1f} s)\n")
    sys.stdout.flush()


def _describe(tool: Tool) -> str:
    return f"{tool.version:<9} {tool.path} [{tool.origin}]" if tool.is_usable else f"MISSING: {tool.problem}"


def _guarded(name: str, look: Callable[[], Tool]) -> Tool:
    try:
        return look()
    except FeatureStoreError as error:
        return Tool(name=name, problem=str(error))


def _java() -> Tool:
    java = resolve_java_home()
    return Tool(name="java", version=java.version, origin=java.origin, path=str(java.home))


def _spark() -> Tool:
    home = spark_home()
    return Tool(name="spark", version=version("pyspark"), origin="package", path=str(home))


def _present_delta() -> Tool:
    if missing := missing_jars():
        names = ", ".join(jar.file_name for jar in missing)
        raise ToolMissing(f"the cache lacks {names}; fetch: python -m featurestore.embedded.setup")
    return _fetched_delta()


def _fetched_delta() -> Tool:
    origin = "fetched" if missing_jars() else "cache"
    jars = delta_jars()
    return Tool(name="delta", version=DELTA_VERSION, origin=origin, path=str(jars[0].parent))


def _redis() -> Tool:
    binary = find_redis_server()
    return Tool(name="redis", version=binary.version, origin=binary.origin, path=str(binary.path))


def _airflow() -> Tool:
    spec = importlib.util.find_spec("airflow")
    try:
        found = version("apache-airflow-core")
    except PackageNotFoundError:
        spec, found = None, ""
    if spec is None or spec.origin is None:
        raise ToolMissing(
            "apache-airflow is not installed in this Python; install it: pip install 'featurestore[airflow]'"
        )
    return Tool(name="airflow", version=found, origin="package", path=str(Path(spec.origin).parent))


if __name__ == "__main__":
    raise SystemExit(main())
