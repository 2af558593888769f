"""Read ``spark_conf/<profile>.conf``: the repo's own, else the one that ships with the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from featurestore.errors import SettingsError

__all__ = ["SparkProfile", "packaged_jobs", "packaged_spark_conf", "read_spark_profile"]

LOG_CONFIG = "log4j2.properties"
_ENTRY = re.compile(r"^\s*([^\s=:#!]+)\s*[=:\s]\s*(.*?)\s*$")
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkProfile:
    """A properties file for ``spark-submit --properties-file``, its entries, and the log4j2 file that goes with it."""

    name: str
    path: Path
    entries: Mapping[str, str]
    log_config: Path

    @property
    def master(self) -> str:
        """Where to run: ``local[2]``, ``yarn``, ``spark://…``; empty when the file leaves it to the caller."""
        return self.entries.get("spark.master", "")


def packaged_spark_conf() -> Path:
    """The profiles that ship with the package: inside it when installed, beside it in a source tree."""
    inside = _PACKAGE / "_spark_conf"
    return inside if inside.is_dir() else _PACKAGE.parent / "spark_conf"


def packaged_jobs() -> Path:
    """The job files that ship with the package: inside it when installed, beside it in a source tree."""
    inside = _PACKAGE / "_jobs"
    return inside if inside.is_dir() else _PACKAGE.parent / "jobs"


def read_spark_profile(name: str, *, repo: Path | None = None) -> SparkProfile:
    """Find and read a profile; SettingsError names the folders searched and the profiles there are."""
    folders = ([repo / "spark_conf"] if repo is not None else []) + [packaged_spark_conf()]
    for folder in folders:
        path = folder / f"{name}.conf"
        if path.is_file():
            own_log = folder / LOG_CONFIG
            return SparkProfile(
                name=name,
                path=path.resolve(),
                entries=_read_entries(path),
                log_config=(own_log if own_log.is_file() else packaged_spark_conf() / LOG_CONFIG).resolve(),
            )
    known = sorted({path.stem for folder in folders for path in folder.glob("*.conf")})
    raise SettingsError(
        f"spark profile {name!r}: no {name}.conf in {' or '.join(str(folder) for folder in folders)}; "
        f"there are: {', '.join(known) or 'none'}. Set spark: {{profile: ...}} to one of them, or add the file",
        profile=name,
    )


def _read_entries(path: Path) -> dict[str, str]:
    """Parse the ``key value`` lines that spark-submit understands; the last mention of a key holds."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = (_ENTRY.match(line) for line in lines if not line.lstrip().startswith(("#", "!")))
    return {entry.group(1): entry.group(2) for entry in found if entry}
