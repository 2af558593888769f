"""Build the ``spark-submit`` command that works on this machine, and the environment it needs."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from featurestore.embedded.appcds import archive_options
from featurestore.embedded.delta_jars import delta_jars
from featurestore.embedded.java import JavaHome, resolve_java_home
from featurestore.embedded.process import child_environment
from featurestore.embedded.spark_profile import SparkProfile, read_spark_profile
from featurestore.errors import SettingsError, ToolMissing
from featurestore.settings import environment

__all__ = ["SparkSubmit", "resolve_spark_submit", "spark_home"]

_DRIVER_CLASS_PATH = "spark.driver.extraClassPath"
_EXECUTOR_CLASS_PATH = "spark.executor.extraClassPath"
_DRIVER_OPTIONS = "spark.driver.defaultJavaOptions"
_PYTHON = "spark.pyspark.python"
_DRIVER_PYTHON = "spark.pyspark.driver.python"
_ARCHIVES = "spark.archives"
# A profile that says where jars come from brings Delta's as well (cluster images usually carry them).
_JAR_SETTINGS = ("spark.jars", "spark.jars.packages", _DRIVER_CLASS_PATH)


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkSubmit:
    """A resolved ``spark-submit``: ``argv`` up to its options, and the variables to add to the environment."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    profile: SparkProfile
    java: JavaHome = field(repr=False)

    def command(self, entry: str | Path, *arguments: str) -> list[str]:
        """The whole command for one entry file and its arguments."""
        return [*self.argv, str(entry), *arguments]

    def process_environment(self) -> dict[str, str]:
        """The environment for a ``spark-submit`` child: this process's own with the additions."""
        return child_environment(self.environment)

    def session_environment(self) -> dict[str, str]:
        """Variables that make a SparkSession started in this Python process resolve the same way."""
        return {**self.environment, "PYSPARK_SUBMIT_ARGS": shlex.join([*self.argv[1:], "pyspark-shell"])}


def spark_home() -> Path:
    """The folder of the installed pyspark, found without importing it."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise ToolMissing("pyspark is not installed in this Python; install it: pip install 'featurestore[spark]'")
    return Path(spec.origin).resolve().parent


def resolve_spark_submit(
    profile: str = "local",
    *,
    repo: Path | None = None,
    conf: Mapping[str, str] | None = None,
    driver_options: tuple[str, ...] = (),
    use_archive: bool = True,
) -> SparkSubmit:
    """Resolve Java, jars and profile; ``conf`` adds Spark settings over the profile's.

    A local master gets the jars on its class path and this Python; a cluster gets them sent along with the job, and
    where the driver runs here it is this Python, whatever the workers' is. Relative ``spark.archives`` of a profile
    count from the ``repo``. Fetches the Delta jars when the cache lacks them. Raises ToolMissing or SettingsError.
    """
    chosen = read_spark_profile(profile, repo=repo)
    settings = dict(conf or {})
    is_local = _master(chosen, settings).startswith("local")
    if not is_local:
        settings = _cluster_settings({**chosen.entries, **settings}, repo) | settings
    home = spark_home()
    java = resolve_java_home()
    options = [f"-Dlog4j2.configurationFile={chosen.log_config.as_uri()}", *driver_options]
    if not any(name in chosen.entries or name in settings for name in _JAR_SETTINGS):
        jars = delta_jars()
        settings |= _jar_settings(jars, is_local=is_local)
        if is_local and use_archive:
            options += archive_options(java, spark_home=home, spark_version=version("pyspark"), jars=jars)
    given = settings.get(_DRIVER_OPTIONS, chosen.entries.get(_DRIVER_OPTIONS, ""))
    settings[_DRIVER_OPTIONS] = " ".join(filter(None, (given, *options)))
    return SparkSubmit(
        argv=(
            str(home / "bin" / "spark-submit"),
            "--properties-file",
            str(chosen.path),
            *(part for name in sorted(settings) for part in ("--conf", f"{name}={settings[name]}")),
        ),
        environment=_environment(settings.get(_PYTHON, chosen.entries.get(_PYTHON)), home, java, is_local=is_local),
        profile=chosen,
        java=java,
    )


def _master(profile: SparkProfile, settings: Mapping[str, str]) -> str:
    """Without a master spark-submit would quietly run a cluster's job on this machine."""
    master = settings.get("spark.master") or profile.master
    if not master:
        raise SettingsError(
            f"spark profile {profile.name!r}: {profile.path} sets no spark.master; copy the file to the project's "
            "spark_conf/ and set it there: local[2], yarn, spark://host:7077 or k8s://https://host:port",
            profile=profile.name,
        )
    return master


def _jar_settings(jars: tuple[Path, ...], *, is_local: bool) -> dict[str, str]:
    if is_local:
        class_path = ":".join(str(jar) for jar in jars)
        return {_DRIVER_CLASS_PATH: class_path, _EXECUTOR_CLASS_PATH: class_path}
    return {"spark.jars": ",".join(jar.as_uri() for jar in jars)}


def _cluster_settings(given: Mapping[str, str], repo: Path | None) -> dict[str, str]:
    """Say what a profile leaves open: spark-submit would start the workers' Python as this machine's driver too."""
    settings = {}
    if _PYTHON in given and given.get("spark.submit.deployMode", "client") == "client":
        settings[_DRIVER_PYTHON] = given.get(_DRIVER_PYTHON, sys.executable)
    if repo is not None and _ARCHIVES in given:
        archives = [archive.strip() for archive in given[_ARCHIVES].split(",")]
        settings[_ARCHIVES] = ",".join(name if "://" in name else str(repo.resolve() / name) for name in archives)
    return settings


def _environment(python: str | None, home: Path, java: JavaHome, *, is_local: bool) -> dict[str, str]:
    """PYSPARK_PYTHON must be this Python where the workers are local; a cluster's may be named by the caller."""
    variables = {"SPARK_HOME": str(home), "JAVA_HOME": str(java.home), "PYSPARK_DRIVER_PYTHON": sys.executable}
    if is_local:
        return {**variables, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    return {**variables, "PYSPARK_PYTHON": python or environment("PYSPARK_PYTHON") or sys.executable}
