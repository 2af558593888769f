"""What Airflow itself must be told: the pool's size, and settings for a small machine."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SUBMIT_SLOTS", "pool_size", "small_machine_environment"]

SUBMIT_SLOTS = 2
"""Pool slots of a submit that carries views; a view's own task takes one, for it seldom submits."""


def pool_size(spark_slots: int) -> int:
    """Count the pool's slots: ``spark_slots`` carrying submits, and one view's task beside them."""
    return SUBMIT_SLOTS * spark_slots + 1


def small_machine_environment() -> Mapping[str, str]:
    """Give ``AIRFLOW__*`` variables that make short tasks pass quickly on a machine with few cores.

    One interval of six feature views and a prediction view (17 tasks, three of them submits) took 16 to 19 s
    beside the jobs' own time with Airflow's defaults on 2 idle cores, and 4 s with these.
    """
    return {
        # The scheduler looks for finished tasks this often; at the default of 1 s each edge of a DAG costs a second.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        # A worker may notice only at its next heartbeat that its task has ended, and stays taken until then (5 s).
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # A task whose worker was killed with the machine's Airflow is given up after this long (300 s).
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        # Workers are forked at start-up and mostly wait, for a job or for the API; Spark is bounded by the pool.
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # An apply shows in the DAGs within seconds.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "5",
        # Every task is a new process that imports the package: it must find compiled modules. Empty means unset.
        "PYTHONDONTWRITEBYTECODE": "",
    }
