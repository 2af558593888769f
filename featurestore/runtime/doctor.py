"""Look for every program and file that the engine needs on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from featurestore.embedded.delta_jars import delta_jars
from featurestore.embedded.java import resolve_java_home
from featurestore.embedded.redis_server import find_redis_server
from featurestore.embedded.spark_profile import read_spark_profile
from featurestore.errors import FeatureStoreError
from featurestore.settings import Settings
from featurestore.stores.online import OnlineAddress

__all__ = ["Finding", "examine"]

_PACKAGES = {
    "pyspark": "spark",
    "delta-spark": "spark",
    "great-expectations": "quality",
    "apache-airflow": "airflow",
    "sqlalchemy": "registry",
    "hiredis": "",
    "pyarrow": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One part: what was found, and what to do when it is not right."""

    part: str
    is_ok: bool
    found: str
    fix: str = ""

    def to_dict(self) -> dict[str, object]:
        return {"part": self.part, "ok": self.is_ok, "found": self.found, "fix": self.fix}


def examine(settings: Settings) -> tuple[Finding, ...]:
    """Examine packages, Java, jars, the Spark profile, the registry, the Redis program and the online store."""
    return tuple(_examine(settings))


def _examine(settings: Settings) -> Iterator[Finding]:
    for package, extra in _PACKAGES.items():
        yield _package(package, extra)
    yield _tool("Java", lambda: _java())
    yield _tool("Delta jars", lambda: ", ".join(path.name for path in delta_jars()))
    yield _tool("Spark profile", lambda: str(read_spark_profile(settings.spark_profile, repo=settings.repo).path))
    if find_spec("sqlalchemy") is not None:
        yield _tool("registry", lambda: _registry(settings))
    if settings.uses_own_redis:
        yield _tool("redis-server", lambda: _redis_program())
    yield _tool("online store", lambda: _online(settings))


def _package(name: str, extra: str) -> Finding:
    try:
        return Finding(part=name, is_ok=True, found=version(name))
    except PackageNotFoundError:
        wanted = f"featurestore[{extra}]" if extra else "featurestore"
        return Finding(part=name, is_ok=False, found="not installed", fix=f"pip install '{wanted}'")


def _tool(part: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(part=part, is_ok=True, found=look())
    except FeatureStoreError as error:
        problem, _, fix = str(error).partition("; ")
        return Finding(part=part, is_ok=False, found=problem, fix=fix)


def _java() -> str:
    java = resolve_java_home()
    return f"{java.version} ({java.origin}, {java.home})"


def _registry(settings: Settings) -> str:
    from featurestore.stores.database import create_database

    with create_database(settings.absolute_registry_url) as database:
        return database.name


def _redis_program() -> str:
    binary = find_redis_server()
    return f"{binary.version} ({binary.path})"


def _online(settings: Settings) -> str:
    store = OnlineAddress.of(settings).connect()
    try:
        store.time_micros()
        store.check_eviction_policy()
        return str(getattr(store, "address", settings.online_type))
    finally:
        store.close()
