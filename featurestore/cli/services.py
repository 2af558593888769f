"""The project's own Redis and Airflow, as the verbs start, find and stop them."""

from __future__ import annotations

from featurestore.cli.output import notice
from featurestore.embedded.airflow_api import AirflowApi
from featurestore.embedded.airflow_server import AirflowServer
from featurestore.embedded.redis_server import RedisServer
from featurestore.orchestration.airflow_settings import pool_size, small_machine_environment
from featurestore.settings import Settings

__all__ = ["airflow_server", "create_pool", "ensure_redis", "redis_server"]


def redis_server(settings: Settings) -> RedisServer:
    return RedisServer(folder=settings.redis_folder)


def ensure_redis(settings: Settings) -> None:
    """Start the project's own server when it is the one configured, and say so when it did not run."""
    if settings.uses_own_redis and redis_server(settings).start():
        notice(f"Redis started on {redis_server(settings).socket_path} (`featurestore down` stops it)")


def airflow_server(settings: Settings) -> AirflowServer:
    return AirflowServer(
        home=settings.airflow_home,
        dags_folder=settings.repo / "dags",
        env={"FEATURESTORE_REPO": str(settings.repo), **small_machine_environment()},
    )


def create_pool(settings: Settings) -> None:
    """Make (or resize) the pool that generated tasks run in; a task of a missing pool never runs."""
    options = settings.orchestration
    api = AirflowApi(airflow_server(settings).url)
    api.set_pool(options.spark_pool, pool_size(options.spark_slots), "spark-submits at a time")
