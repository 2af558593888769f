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
from featurestore.settings_sections import (
    OrchestrationSettings,
    PublishSettings,
    UpkeepSettings,
    parse_orchestration,
    parse_publish,
    parse_upkeep,
    refuse_unknown,
    section_of,
)

__all__ = [
    "CONFIG_FILE",
    "OrchestrationSettings",
    "PublishSettings",
    "Settings",
    "UpkeepSettings",
    "environment",
    "load_settings",
    "parse_settings",
    "parse_text",
]

CONFIG_FILE = "feature_store.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_PROJECT_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


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
    orchestration: OrchestrationSettings = field(default_factory=OrchestrationSettings)
    publish: PublishSettings = field(default_factory=PublishSettings)
    upkeep: UpkeepSettings = field(default_factory=UpkeepSettings)
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
    config = section_of(_expand(document, origin), origin, "the document")
    refuse_unknown(
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
            "upkeep",
        },
        origin,
    )
    project = config.get("project")
    if not isinstance(project, str) or not _PROJECT_NAME.fullmatch(project):
        raise SettingsError(
            f"{origin}: project: found {project!r}; valid is a name of small letters, digits and _, a letter first"
        )
    offline = section_of(config.get("offline_store", {}), origin, "offline_store")
    online = dict(section_of(config.get("online_store", {}), origin, "online_store"))
    spark = section_of(config.get("spark", {}), origin, "spark")
    lookup = section_of(config.get("lookup", {}), origin, "lookup")
    refuse_unknown(offline, {"type", "path"}, f"{origin}: offline_store")
    refuse_unknown(spark, {"profile"}, f"{origin}: spark")
    refuse_unknown(lookup, {"cache", "deadline_seconds", "log_served", "metrics"}, f"{origin}: lookup")
    cache = section_of(lookup.get("cache", {}), origin, "lookup: cache")
    refuse_unknown(cache, {"max_age_seconds", "max_rows"}, f"{origin}: lookup: cache")
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
        auth=section_of(config.get("auth", {"type": "no_auth"}), origin, "auth"),
        orchestration=parse_orchestration(config.get("orchestration", {}), origin),
        publish=parse_publish(config.get("publish", {}), origin),
        upkeep=parse_upkeep(config.get("upkeep", {}), origin),
        deadline=timedelta(seconds=float(lookup.get("deadline_seconds", 5))),
        cached_age=timedelta(seconds=float(cache.get("max_age_seconds", 0))),
        cached_rows=int(cache.get("max_rows", 100_000)),
        lookup_metrics=_flag(lookup.get("metrics", False), f"{origin}: lookup: metrics"),
        log_served=_flag(lookup.get("log_served", False), f"{origin}: lookup: log_served"),
    )


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{where}: found {value!r}; valid are true and false")
    return value


def _choice(value: object, valid: set[str], where: str) -> str:
    if value not in valid:
        raise SettingsError(f"{where}: found {value!r}; valid are {', '.join(sorted(valid))}")
    return str(value)


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
