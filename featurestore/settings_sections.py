"""Sections of ``feature_store.yaml`` that have many options: their values, defaults and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from featurestore.errors import SettingsError

__all__ = [
    "OrchestrationSettings",
    "PublishSettings",
    "UpkeepSettings",
    "parse_orchestration",
    "parse_publish",
    "parse_upkeep",
    "refuse_unknown",
    "section_of",
]


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
class UpkeepSettings:
    """How the offline tables are kept up, and when: a cron ``schedule``, ``"off"`` for no upkeep DAG.

    ``min_small_files`` files below half of ``target_file_mb`` are merged; files that no version of the last
    ``retention_days`` has are deleted. Rows that were replaced more than ``history_days`` ago are dropped; None: never.
    """

    schedule: str = "30 3 * * *"
    target_file_mb: int = 128
    min_small_files: int = 16
    retention_days: int = 7
    history_days: int | None = None


def parse_orchestration(value: object, origin: str) -> OrchestrationSettings:
    section = section_of(value, origin, "orchestration")
    defaults = OrchestrationSettings()
    refuse_unknown(section, set(OrchestrationSettings.__slots__), f"{origin}: orchestration")
    for name, found in section.items():
        if type(found) is not type(getattr(defaults, name)):
            valid = type(getattr(defaults, name)).__name__
            raise SettingsError(f"{origin}: orchestration: {name}: found {found!r}; valid is a value of type {valid}")
    return OrchestrationSettings(**section)


def parse_publish(value: object, origin: str) -> PublishSettings:
    section = section_of(value, origin, "publish")
    refuse_unknown(section, set(PublishSettings.__slots__), f"{origin}: publish")
    views = section_of(section.get("views", {}), origin, "publish: views")
    least = {"sample_keys": 0, "warm_versions": 0}
    numbers = {name: found for name, found in section.items() if name != "views"}
    for name, found in {**numbers, **{f"views: {view}": rate for view, rate in views.items()}}.items():
        if type(found) is not int or found < least.get(name, 1):
            raise SettingsError(
                f"{origin}: publish: {name}: found {found!r}; valid is a whole number from {least.get(name, 1)}"
            )
    return PublishSettings(**{**numbers, "views": views})


def parse_upkeep(value: object, origin: str) -> UpkeepSettings:
    section = section_of(value, origin, "upkeep")
    refuse_unknown(section, set(UpkeepSettings.__slots__), f"{origin}: upkeep")
    # Readers and publications that began before a compaction go on with the files of their time.
    least = {"retention_days": 7, "min_small_files": 2, "target_file_mb": 1}
    # They may also have to read rows that were replaced since.
    least["history_days"] = max(7, _whole(section.get("retention_days", 7)))
    for name, found in section.items():
        if name == "schedule":
            if not isinstance(found, str):
                raise SettingsError(f"{origin}: upkeep: schedule: found {found!r}; valid are a cron text and 'off'")
        elif name == "history_days" and found is None:
            continue
        elif _whole(found) < least[name]:
            bound = " (retention_days), or none: then every row is kept" if name == "history_days" else ""
            raise SettingsError(
                f"{origin}: upkeep: {name}: found {found!r}; valid is a whole number from {least[name]}{bound}"
            )
    return UpkeepSettings(**section)


def _whole(found: object) -> int:
    """Give a whole number as it is, and -1 for what is none."""
    return found if isinstance(found, int) and not isinstance(found, bool) else -1


def section_of(value: object, origin: str, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{origin}: {name}: found {value!r}; valid is a mapping")
    return value


def refuse_unknown(section: Mapping[str, object], known: set[str], where: str) -> None:
    unknown = sorted(set(section) - known)
    if unknown:
        raise SettingsError(f"{where}: unknown {', '.join(unknown)}; valid are {', '.join(sorted(known))}")
