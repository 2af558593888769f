"""What the Kubernetes profile asks of a cluster: the executor's pod, as Spark's own client posts it."""

from __future__ import annotations

import os
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from featurestore.embedded.spark_profile import packaged_spark_conf
from featurestore.embedded.spark_submit import resolve_spark_submit
from tests.support.kubernetes_api import running_kubernetes_api

pytestmark = [pytest.mark.spark, pytest.mark.slow]

PROGRAM = """
from pyspark.sql import SparkSession

SparkSession.builder.getOrCreate().range(10, numPartitions=2).count()
"""
IMAGE = "registry.example.com/spark-python:4.2.0"


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """Run a driver that needs executors until it asks for the first one."""
    repo = tmp_path_factory.mktemp("repo")
    (repo / "spark_conf").mkdir()
    tarfile.open(repo / "environment.tar.gz", "w:gz").close()
    (repo / "program.py").write_text(PROGRAM, encoding="utf-8")
    with running_kubernetes_api() as api:
        write_profile(repo, api.url)
        submit = resolve_spark_submit("k8s", repo=repo)
        with (repo / "log").open("wb") as log:
            driver = subprocess.Popen(
                submit.command(repo / "program.py"),
                env=submit.process_environment(),
                cwd="/",
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        found = None
        for _ in range(60):
            found = found or api.await_pod(1)
            if found or driver.poll() is not None:
                break
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    assert found is not None, (repo / "log").read_text(errors="replace")[-5000:]
    return found


def write_profile(repo: Path, api: str) -> None:
    """Take the packaged profile with the comments that wait for a value taken off, as its first lines say."""
    text = (packaged_spark_conf() / "k8s.conf").read_text(encoding="utf-8")
    lines = [line.removeprefix("# ") if line.startswith("# spark.") else line for line in text.splitlines()]
    own = {
        "spark.master": f"k8s://{api}",
        "spark.driver.memory": "512m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.port": "0",
        "spark.blockManager.port": "0",
        "spark.ui.enabled": "false",
    }
    kept = [line for line in lines if not line.startswith(("spark.kubernetes.driver.pod.name", *own))]
    kept += [f"{name} {value}" for name, value in own.items()]
    (repo / "spark_conf" / "k8s.conf").write_text("\n".join(kept) + "\n", encoding="utf-8")


def test_executors_are_asked_for_where_and_as_big_as_the_profile_says(pod: tuple[str, dict[str, Any]]) -> None:
    path, body = pod
    assert path == "/api/v1/namespaces/featurestore/pods"
    (container,) = body["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container["resources"]["requests"] == {"cpu": "4", "memory": "10240Mi"}, "8 GiB and a quarter beside"
    assert body["spec"]["serviceAccountName"] == "default"
    assert body["metadata"]["labels"]["spark-role"] == "executor"
