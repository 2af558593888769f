"""The jobs on a real standalone cluster whose workers see neither the project's folder nor this package."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deltalake import write_deltalake

import featurestore
from featurestore.embedded.spark_profile import packaged_jobs, packaged_spark_conf
from featurestore.embedded.spark_submit import resolve_spark_submit
from featurestore.intervals import show_instant, utc_now
from featurestore.runtime.results import RESULT_PREFIX
from tests.support.postgres import PostgresServer
from tests.support.project import Project, rides_table
from tests.support.redis_nodes import running_node
from tests.support.rides import CORE, day, expected_score, ride
from tests.support.standalone_cluster import StandaloneCluster, can_hide_folders, running_cluster

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(600)]

DRIVERS = 20_001
"""One more than a publication's driver sends by itself."""
MODEL = '''"""Fails where it runs with anything else than what was sent to the worker."""

import numpy as np


class TipModel:
    def predict(self, inputs):
        from sklearn.preprocessing import FunctionTransformer

        features = np.column_stack([np.nan_to_num(inputs["distance_2d"]), np.nan_to_num(inputs["rides_1d"])])
        return {"tip": FunctionTransformer(lambda rows: rows[:, 0] / 10 + rows[:, 1]).fit_transform(features)}


def load():
    from pathlib import Path

    import pyarrow
    import sklearn

    import featurestore

    here = Path.cwd() / "environment" / "lib"
    for module in (featurestore, np, pyarrow, sklearn):
        if not Path(module.__file__).resolve().is_relative_to(here.resolve()):
            raise RuntimeError(f"{module.__name__} was taken from {module.__file__}, not from {here}")
    for folder in HIDDEN:
        if Path(folder).is_dir() and any(Path(folder).iterdir()):
            raise RuntimeError(f"{folder} can be seen from a worker")
    return TipModel()
'''
SMALL = """
spark.driver.memory                512m
spark.driver.host                  127.0.0.1
spark.driver.bindAddress           127.0.0.1
spark.driver.defaultJavaOptions    -XX:TieredStopAtLevel=1
spark.executor.defaultJavaOptions  -XX:TieredStopAtLevel=1
spark.executor.memory              512m
spark.executor.cores               1
spark.cores.max                    2
spark.sql.shuffle.partitions       2
spark.ui.enabled                   false
spark.pyspark.python               ./environment/bin/python
spark.archives                     build/environment.tar.gz#environment
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnCluster:
    project: Project
    cluster: StandaloneCluster
    results: Mapping[str, Mapping[str, Any]]


def submit(project: Project, job: str, *arguments: str) -> Mapping[str, Any]:
    command = resolve_spark_submit("standalone", repo=project.root)
    done = subprocess.run(
        command.command(packaged_jobs() / f"{job}.py", "--repo", str(project.root), *arguments),
        env=command.process_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(RESULT_PREFIX)]
    assert done.returncode == 0 and len(lines) == 1, done.stdout[-3000:] + done.stderr[-6000:]
    result: Mapping[str, Any] = json.loads(lines[0].removeprefix(RESULT_PREFIX))
    return result


def configure(project: Project, shared: Path, *, registry: str, redis: str, master: str) -> None:
    """Nothing but the address of the offline store and of the source is on a disk that the nodes share."""
    hidden = [str(project.root), str(Path(featurestore.__file__).parent)] if can_hide_folders() else []
    model = MODEL.replace("HIDDEN", repr(hidden))
    (project.root / project.package / "model.py").write_text(model, encoding="utf-8")
    project.define(CORE.replace('path="data/rides"', f'path="{(shared / "rides").as_uri()}"'))
    project.write_config(
        registry=registry,
        offline_store=f"{{type: delta, path: '{(shared / 'offline').as_uri()}'}}",
        online_store=f"{{type: redis, connection_string: '{redis}'}}",
        spark="{profile: standalone}",
    )
    profile = (packaged_spark_conf() / "standalone.conf").read_text(encoding="utf-8")
    (project.root / "spark_conf").mkdir()
    text = f"{profile}{SMALL}spark.master  {master}\n"
    (project.root / "spark_conf" / "standalone.conf").write_text(text, encoding="utf-8")
    rides = [ride(number, day(0, hour=number % 24), float(number % 100), 1 + number % 5) for number in range(DRIVERS)]
    write_deltalake(shared / "rides", rides_table(rides))


@pytest.fixture(scope="module")
def on_cluster(project_maker: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnCluster]:
    """Pack the workers' packages by the documented command, apply, and run the three jobs."""
    if not PostgresServer.is_available():
        pytest.skip("no PostgreSQL server programs")
    project = project_maker()
    project.redis.stop()
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer())
        redis = stack.enter_context(running_node(tmp_path_factory.mktemp("r")))
        hidden = [project.root, Path(featurestore.__file__).parent]
        cluster = stack.enter_context(running_cluster(tmp_path_factory.mktemp("cluster") / "nodes", hidden=hidden))
        configure(
            project,
            tmp_path_factory.mktemp("shared"),
            registry=postgres.create_database(),
            redis=redis.url,
            master=cluster.url,
        )
        for argv in (
            ("package", "build/environment.tar.gz", "--extra", "spark", "--with", "scikit-learn"),
            ("apply",),
        ):
            done = project.run(*argv)
            assert done.returncode == 0, done.stdout + done.stderr
        # Where it was applied is another machine: this one has not got the definitions zip yet.
        for archive in (project.root / ".featurestore" / "code").iterdir():
            archive.unlink()
        step = ("--start", show_instant(day(0)), "--end", show_instant(day(1)))
        results = {
            "materialize": submit(project, "materialize", *step),
            "predict": submit(project, "predict", *step),
            "publish": submit(project, "publish"),
        }
        yield OnCluster(project=project, cluster=cluster, results=results)


def test_each_job_did_its_whole_work(on_cluster: OnCluster) -> None:
    views = {job: result["views"] for job, result in on_cluster.results.items()}
    assert views["materialize"]["ride_stats"]["rows"] == DRIVERS
    assert views["predict"]["tips"]["rows"] == DRIVERS
    sent = {name: view["published"] for name, view in views["publish"].items()}
    assert {name: (entry["sent"], entry["checked"]) for name, entry in sent.items()} == {
        "ride_stats": (DRIVERS, DRIVERS),
        "tips": (DRIVERS, DRIVERS),
    }


def test_lookups_give_what_the_workers_computed_and_sent(on_cluster: OnCluster) -> None:
    drivers = [0, 7, 12_345, DRIVERS - 1]
    with on_cluster.project.open(utc_now, None) as store:
        found = store.get_online_features(
            ["ride_stats:distance_2d", "ride_stats:rides_1d", "tips:tip"], {"driver_id": drivers}
        ).to_dict()
    assert found["distance_2d"] == [float(driver % 100) for driver in drivers]
    assert found["tip"] == [pytest.approx(expected_score(float(driver % 100), 1)) for driver in drivers]


def test_both_workers_took_part_with_the_environment_that_was_packed(on_cluster: OnCluster) -> None:
    for folder in on_cluster.cluster.worker_folders:
        executors = list((folder / "work").glob("app-*/*"))
        assert len(executors) >= len(on_cluster.results), folder
        assert all((path / "environment" / "lib" / "featurestore" / "codec").is_dir() for path in executors)
