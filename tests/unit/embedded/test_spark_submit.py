"""The resolved ``spark-submit``: its profile, jars, options and environment. No JVM starts here."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from featurestore.embedded import spark_submit
from featurestore.embedded.java import JavaHome
from featurestore.embedded.spark_profile import packaged_spark_conf, read_spark_profile
from featurestore.embedded.spark_submit import SparkSubmit, resolve_spark_submit, spark_home
from featurestore.errors import SettingsError

JARS = (Path("/cache/a.jar"), Path("/cache/b.jar"))
PROFILES = {"local", "test", "standalone", "yarn", "k8s"}


@pytest.fixture(autouse=True)
def resolved_tools(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = cache / "java-home"
    java = JavaHome(home=home, real_home=home, version="17.0.9", origin="system")
    monkeypatch.setattr(spark_submit, "delta_jars", lambda: JARS)
    monkeypatch.setattr(spark_submit, "resolve_java_home", lambda: java)


def settings_of(submit: SparkSubmit) -> dict[str, str]:
    pairs = zip(submit.argv, submit.argv[1:], strict=False)
    return dict(value.split("=", 1) for option, value in pairs if option == "--conf")


def make_profile(repo: Path, name: str, text: str) -> Path:
    path = repo / "spark_conf" / f"{name}.conf"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_local_puts_the_jars_on_the_class_path_and_names_this_python() -> None:
    submit = resolve_spark_submit("local")
    assert submit.argv[:3] == (
        str(spark_home() / "bin" / "spark-submit"),
        "--properties-file",
        str(packaged_spark_conf() / "local.conf"),
    )
    settings = settings_of(submit)
    assert settings["spark.driver.extraClassPath"] == "/cache/a.jar:/cache/b.jar"
    assert settings["spark.executor.extraClassPath"] == "/cache/a.jar:/cache/b.jar"
    log = (packaged_spark_conf() / "log4j2.properties").as_uri()
    assert settings["spark.driver.defaultJavaOptions"].split()[-1] == f"-Dlog4j2.configurationFile={log}"
    assert submit.environment == {
        "SPARK_HOME": str(spark_home()),
        "JAVA_HOME": str(submit.java.home),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    assert submit.command(Path("jobs/x.py"), "--a", "1")[-3:] == ["jobs/x.py", "--a", "1"]


def test_a_cluster_gets_the_jars_sent_and_keeps_the_callers_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", "/cluster/python")
    submit = resolve_spark_submit("yarn")
    settings = settings_of(submit)
    assert settings["spark.jars"] == "file:///cache/a.jar,file:///cache/b.jar"
    assert "spark.driver.extraClassPath" not in settings
    assert submit.environment["PYSPARK_PYTHON"] == "/cluster/python"
    assert "SPARK_LOCAL_IP" not in submit.environment


def test_a_profile_that_names_jars_brings_delta_itself(tmp_path: Path) -> None:
    make_profile(tmp_path, "mine", "spark.master k8s://https://cluster:6443\nspark.jars local:///opt/delta.jar\n")
    assert "spark.jars" not in settings_of(resolve_spark_submit("mine", repo=tmp_path))


def test_the_workers_python_is_the_profiles_and_the_drivers_is_this_one(tmp_path: Path) -> None:
    text = "spark.master spark://cluster:7077\nspark.pyspark.python ./environment/bin/python\n"
    archives = "spark.archives build/environment.tar.gz#environment, hdfs://data/more.zip\n"
    make_profile(tmp_path, "mine", text + archives)
    submit = resolve_spark_submit("mine", repo=tmp_path)
    settings = settings_of(submit)
    assert submit.environment["PYSPARK_PYTHON"] == "./environment/bin/python"
    assert settings["spark.pyspark.driver.python"] == sys.executable
    assert settings["spark.archives"] == f"{tmp_path}/build/environment.tar.gz#environment,hdfs://data/more.zip"


def test_a_driver_inside_the_cluster_runs_the_clusters_python(tmp_path: Path) -> None:
    text = "spark.master yarn\nspark.submit.deployMode cluster\nspark.pyspark.python ./environment/bin/python\n"
    make_profile(tmp_path, "mine", text)
    assert "spark.pyspark.driver.python" not in settings_of(resolve_spark_submit("mine", repo=tmp_path))


@pytest.mark.parametrize("name", ["k8s", "standalone"])
def test_a_cluster_without_an_address_is_not_run_here(name: str) -> None:
    with pytest.raises(SettingsError, match=f"spark profile '{name}': .*sets no spark.master"):
        resolve_spark_submit(name)


def test_the_repos_profile_and_options_win(tmp_path: Path) -> None:
    path = make_profile(
        tmp_path, "local", "spark.master=local[1]\n# a note\nspark.driver.defaultJavaOptions   -Done=1 -Dtwo=2\n"
    )
    submit = resolve_spark_submit(
        "local", repo=tmp_path, conf={"spark.app.name": "two words"}, driver_options=("-Dmine=1",)
    )
    assert submit.profile.path == path
    assert submit.profile.master == "local[1]"
    assert settings_of(submit)["spark.driver.defaultJavaOptions"].startswith("-Done=1 -Dtwo=2 -Dlog4j2.")
    assert settings_of(submit)["spark.driver.defaultJavaOptions"].endswith(" -Dmine=1")
    session = shlex.split(submit.session_environment()["PYSPARK_SUBMIT_ARGS"])
    assert session == [*submit.argv[1:], "pyspark-shell"]
    assert "spark.app.name=two words" in session


def test_an_unknown_profile_names_folders_and_profiles(tmp_path: Path) -> None:
    make_profile(tmp_path, "mine", "spark.master local[1]\n")
    with pytest.raises(SettingsError) as caught:
        resolve_spark_submit("nightly", repo=tmp_path)
    message = str(caught.value)
    assert f"no nightly.conf in {tmp_path / 'spark_conf'} or {packaged_spark_conf()}" in message
    assert "there are: k8s, local, mine, standalone, test, yarn" in message


def test_an_archive_is_used_only_where_the_class_path_is_known(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_submit, "archive_options", lambda *_args, **_named: ("-XX:SharedArchiveFile=/x.jsa",))
    option = "spark.driver.defaultJavaOptions"
    assert "/x.jsa" in settings_of(resolve_spark_submit("local"))[option]
    assert "/x.jsa" not in settings_of(resolve_spark_submit("local", use_archive=False))[option]
    assert "/x.jsa" not in settings_of(resolve_spark_submit("yarn"))[option]
    assert not cache.exists()


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_profiles_hold_sizes_and_never_speculate(name: str) -> None:
    profile = read_spark_profile(name)
    assert profile.entries["spark.speculation"] == "false"
    assert profile.log_config.is_file()
    assert not [key for key in profile.entries if key.startswith(("spark.sql.ansi", "spark.sql.session"))]


def test_all_packaged_profiles_are_tested() -> None:
    assert {path.stem for path in packaged_spark_conf().glob("*.conf")} == PROFILES
