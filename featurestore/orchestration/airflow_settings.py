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
    """Give ``AIRFLOW__*`` variables for one machine with few cores."""
    return {}
