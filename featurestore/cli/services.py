"""The project's own Redis and Airflow, as the verbs start, find and stop them."""

from __future__ import annotations

from featurestore.cli.output import say
from featurestore.embedded.airflow_server import AirflowServer
from featurestore.embedded.redis_server import RedisServer
from featurestore.errors import StateError
from featurestore.orchestration.airflow_settings import pool_size, small_machine_environment
from featurestore.settings import Settings

__all__ = ["airflow_server", "create_pool", "ensure_redis", "redis_server"]


def redis_server(settings: Settings) -> RedisServer:
    return RedisServer(folder=settings.redis_folder)


def ensure_redis(settings: Settings) -> None:
    """Start the project's own server when it is the one configured, and say so when it did not run."""
    if settings.uses_own_redis and redis_server(settings).start():
        say(f"Redis started on {redis_server(settings).socket_path} (`featurestore down` stops it)")


def airflow_server(settings: Settings) -> AirflowServer:
    return AirflowServer(
        home=settings.airflow_home,
        dags_folder=settings.repo / "dags",
        env={"FEATURESTORE_REPO": str(settings.repo), **small_machine_environment()},
        parallelism=settings.orchestration.spark_slots + 2,
    )


def create_pool(settings: Settings) -> None:
    """Make (or resize) the pool that generated tasks run in; a task of a missing pool never runs."""
    options = settings.orchestration
    size = str(pool_size(options.spark_slots))
    done = airflow_server(settings).run_cli(["pools", "set", options.spark_pool, size, "spark-submit at a time"])
    if done.returncode != 0:
        raise StateError(f"Airflow pool {options.spark_pool!r} could not be made: {done.stderr.strip()[-500:]}")
