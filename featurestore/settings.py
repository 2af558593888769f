"""The project's settings from ``feature_store.yaml``; the only reader of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from featurestore.errors import SettingsError

__all__ = [
    "CONFIG_FILE",
    "OrchestrationSettings",
    "PublishSettings",
    "Settings",
    "environment",
    "load_settings",
    "parse_settings",
    "parse_text",
]

CONFIG_FILE = "feature_store.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_PROJECT_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestrationSettings:
    """How generated DAGs run: ``views_per_submit`` views share one spark-submit; retries are per task.

    ``one_dag_per_schedule`` puts views that no input connects into one DAG too: fewer and fuller submits, but one
    start, state and history for all of them.
    """

    views_per_submit: int = 8
    max_active_runs: int = 1
    retries: int = 2
    retry_delay_seconds: int = 30
    spark_pool: str = "featurestore_spark"
    spark_slots: int = 1
    catchup: bool = True
    one_dag_per_schedule: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSettings:
    """How rows get into the online store.

    ``rows_per_second`` bounds each view's publication, all executors together (None: no bound); ``views`` has other
    rates by view. After a publication ``sample_keys`` keys that it did not send are looked at. ``warm_versions`` older
    versions of a view stay online for a rollback.
    """

    rows_per_second: int | None = None
    views: Mapping[str, int] = field(default_factory=dict)
    sample_keys: int = 200
    warm_versions: int = 2

    def rate(self, view: str) -> int | None:
        """Give the rows a second that a view may send."""
        return self.views.get(view, self.rows_per_second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``repo`` is the absolute folder that relative paths count from.

    ``redis_url`` None means the project's own server on a unix socket under ``state_path``.
    """

    repo: Path
    project: str
    definitions: str = "definitions"
    registry_url: str = "sqlite:///.featurestore/registry.db"
    offline_path: str = ".featurestore/offline"
    online_type: str = "redis"
    redis_url: str | None = None
    redis_options: Mapping[str, Any] = field(default_factory=dict)
    spark_profile: str = "local"
    auth: Mapping[str, Any] = field(default_factory=lambda: {"type": "no_auth"})
    orchestration: OrchestrationSettings = OrchestrationSettings()
    publish: PublishSettings = PublishSettings()
    deadline: timedelta = timedelta(seconds=5)
    lookup_metrics: bool = False
    cached_age: timedelta = timedelta(0)
    cached_rows: int = 100_000
    log_served: bool = False
    max_future_skew: timedelta = timedelta(minutes=5)

    @property
    def state_path(self) -> Path:
        """The folder of local state: registry, offline store, sockets, logs, reports."""
        return self.repo / ".featurestore"

    @property
    def manifest_path(self) -> Path:
        """The applied manifest, as DAG files read it: without a registry."""
        return self.state_path / "manifest.json"

    @property
    def redis_folder(self) -> Path:
        """Where the project's own Redis server keeps its data."""
        return self.state_path / "redis"

    @property
    def airflow_home(self) -> Path:
        """Where the project's own Airflow keeps its database and logs."""
        return self.state_path / "airflow"

    @property
    def uses_own_redis(self) -> bool:
        return self.online_type == "redis" and self.redis_url is None

    @property
    def offline_root(self) -> str:
        """The offline store's root: absolute for a local path, unchanged for an address with a scheme."""
        return self.absolute(self.offline_path)

    @property
    def is_offline_local(self) -> bool:
        return "://" not in self.offline_path

    def absolute(self, path: str) -> str:
        """Resolve a definition's path against the repo; addresses with a scheme stay as they are."""
        return path if "://" in path else str((self.repo / path).resolve())

    @property
    def absolute_registry_url(self) -> str:
        """The registry's SQLAlchemy URL, with a relative SQLite path resolved against the repo."""
        prefix = "sqlite:///"
        if self.registry_url.startswith(prefix) and not self.registry_url.startswith(prefix + "/"):
            return prefix + str(self.repo / self.registry_url.removeprefix(prefix))
        return self.registry_url


def environment(name: str, default: str | None = None) -> str | None:
    """Read one environment variable; an empty one counts as absent."""
    return os.environ.get(name) or default


def load_settings(repo_path: str | Path = ".") -> Settings:
    """Read ``feature_store.yaml`` in ``repo_path``; SettingsError says what is wrong with it."""
    repo = Path(repo_path).resolve()
    path = repo / CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(
            f"{path} does not exist; run `featurestore init` there, or name the project's folder with --repo",
            path=str(path),
        ) from None
    return parse_text(text, repo=repo, origin=str(path))


def parse_text(text: str, *, repo: Path, origin: str) -> Settings:
    """Check the text of a ``feature_store.yaml``; ``origin`` names it in the complaint."""
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{origin} is not YAML: {error}", path=origin) from error
    return parse_settings(document, repo=repo, origin=origin)


def parse_settings(document: object, *, repo: Path, origin: str = "config") -> Settings:
    """Check the mapping of ``feature_store.yaml`` and fill in defaults."""
    config = _section(_expand(document, origin), origin, "the document")
    _refuse_unknown(
        config,
        {
            "project",
            "definitions",
            "registry",
            "offline_store",
            "online_store",
            "spark",
            "auth",
            "orchestration",
            "lookup",
            "publish",
        },
        origin,
    )
    project = config.get("project")
    if not isinstance(project, str) or not _PROJECT_NAME.fullmatch(project):
        raise SettingsError(
            f"{origin}: project: found {project!r}; valid is a name of small letters, digits and _, a letter first"
        )
    offline = _section(config.get("offline_store", {}), origin, "offline_store")
    online = dict(_section(config.get("online_store", {}), origin, "online_store"))
    spark = _section(config.get("spark", {}), origin, "spark")
    lookup = _section(config.get("lookup", {}), origin, "lookup")
    _refuse_unknown(offline, {"type", "path"}, f"{origin}: offline_store")
    _refuse_unknown(spark, {"profile"}, f"{origin}: spark")
    _refuse_unknown(lookup, {"cache", "deadline_seconds", "log_served", "metrics"}, f"{origin}: lookup")
    cache = _section(lookup.get("cache", {}), origin, "lookup: cache")
    _refuse_unknown(cache, {"max_age_seconds", "max_rows"}, f"{origin}: lookup: cache")
    _choice(offline.get("type", "delta"), {"delta"}, f"{origin}: offline_store: type")
    online_type = _choice(online.pop("type", "redis"), {"redis", "memory"}, f"{origin}: online_store: type")
    return Settings(
        repo=repo,
        project=project,
        definitions=str(config.get("definitions", "definitions")),
        registry_url=str(config.get("registry", "sqlite:///.featurestore/registry.db")),
        offline_path=str(offline.get("path", ".featurestore/offline")),
        online_type=online_type,
        redis_url=online.pop("connection_string", None),
        redis_options=online,
        spark_profile=str(spark.get("profile", "local")),
        auth=_section(config.get("auth", {"type": "no_auth"}), origin, "auth"),
        orchestration=_orchestration(config.get("orchestration", {}), origin),
        publish=_publish(config.get("publish", {}), origin),
        deadline=timedelta(seconds=float(lookup.get("deadline_seconds", 5))),
        cached_age=timedelta(seconds=float(cache.get("max_age_seconds", 0))),
        cached_rows=int(cache.get("max_rows", 100_000)),
        lookup_metrics=_flag(lookup.get("metrics", False), f"{origin}: lookup: metrics"),
        log_served=_flag(lookup.get("log_served", False), f"{origin}: lookup: log_served"),
    )


def _orchestration(value: object, origin: str) -> OrchestrationSettings:
    section = _section(value, origin, "orchestration")
    defaults = OrchestrationSettings()
    _refuse_unknown(section, set(OrchestrationSettings.__slots__), f"{origin}: orchestration")
    for name, found in section.items():
        if type(found) is not type(getattr(defaults, name)):
            valid = type(getattr(defaults, name)).__name__
            raise SettingsError(f"{origin}: orchestration: {name}: found {found!r}; valid is a value of type {valid}")
    return OrchestrationSettings(**section)


def _publish(value: object, origin: str) -> PublishSettings:
    section = _section(value, origin, "publish")
    _refuse_unknown(section, set(PublishSettings.__slots__), f"{origin}: publish")
    views = _section(section.get("views", {}), origin, "publish: views")
    least = {"sample_keys": 0, "warm_versions": 0}
    numbers = {name: found for name, found in section.items() if name != "views"}
    for name, found in {**numbers, **{f"views: {view}": rate for view, rate in views.items()}}.items():
        if type(found) is not int or found < least.get(name, 1):
            raise SettingsError(
                f"{origin}: publish: {name}: found {found!r}; valid is a whole number from {least.get(name, 1)}"
            )
    return PublishSettings(**{**numbers, "views": views})


def _section(value: object, origin: str, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{origin}: {name}: found {value!r}; valid is a mapping")
    return value


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{where}: found {value!r}; valid are true and false")
    return value


def _choice(value: object, valid: set[str], where: str) -> str:
    if value not in valid:
        raise SettingsError(f"{where}: found {value!r}; valid are {', '.join(sorted(valid))}")
    return str(value)


def _refuse_unknown(section: Mapping[str, object], known: set[str], where: str) -> None:
    unknown = sorted(set(section) - known)
    if unknown:
        raise SettingsError(f"{where}: unknown {', '.join(unknown)}; valid are {', '.join(sorted(known))}")


def _expand(value: object, origin: str) -> object:
    """Replace ``${VAR}`` and ``${VAR:-default}`` in every string."""
    if isinstance(value, dict):
        return {key: _expand(item, origin) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, origin) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found = environment(match[1], match[2])
        if found is None:
            raise SettingsError(f"{origin}: ${{{match[1]}}} is not set in the environment, and has no :-default")
        return found

    return _VARIABLE.sub(replace, value)
