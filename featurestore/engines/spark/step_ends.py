"""The end of the step in which an instant lies, as a column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, assert_never, cast

import numpy as np
import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from featurestore.engines.base import ComputeRequest
from featurestore.intervals import Interval, from_micros, to_micros
from featurestore.ir.schedule import CronSchedule, PeriodSchedule, ScheduleNode

__all__ = ["created_of", "end_among", "step_end"]

_MICROSECOND = timedelta(microseconds=1)


def step_end(instant: Column, schedule: ScheduleNode) -> Column:
    """Give the first step end after each instant; a cron grid is looked up in Python workers, a batch at a time."""
    micros = F.unix_micros(instant)
    match schedule:
        case PeriodSchedule(period=period):
            length = period // _MICROSECOND
            return F.timestamp_micros(micros - F.pmod(micros, F.lit(length)) + F.lit(length))
        case CronSchedule():
            return F.timestamp_micros(_on_cron_grid(micros, schedule))
        case _:
            assert_never(schedule)


def end_among(instant: Column, steps: Sequence[Interval]) -> Column:
    """Give the end of that one of the given steps, which follow each other, in which an instant lies."""
    if len(steps) == 1:
        return F.lit(steps[0].end)
    start, length = steps[0].start, steps[0].duration
    if all(step.duration == length for step in steps):
        passed = F.call_function("div", F.unix_micros(instant) - to_micros(start), F.lit(length // _MICROSECOND))
        return F.timestamp_micros((passed + 1) * F.lit(length // _MICROSECOND) + F.lit(to_micros(start)))
    ends = F.array(*(F.lit(step.end) for step in steps))
    return F.array_min(F.filter(ends, lambda end: end > instant))


def created_of(request: ComputeRequest[Any], step_end: Column) -> Column:
    """Give the created time of rows of the step that ends then; see ``ComputeRequest``."""
    if request.restated:
        return F.lit(request.created)
    lag = (request.created - request.interval.end) // _MICROSECOND
    return F.timestamp_micros(F.unix_micros(step_end) + F.lit(lag))


def _on_cron_grid(micros: Column, schedule: CronSchedule) -> Column:
    def next_on_grid(batch: pd.Series) -> pd.Series:
        return batch if batch.empty else pd.Series(_next_on_grid(batch.to_numpy(np.int64), schedule))

    next_on_grid.__annotations__ = {"batch": pd.Series, "return": pd.Series}
    vectorized = cast(Callable[[Callable[..., Any], str], Callable[[Column], Column]], pandas_udf)
    return vectorized(next_on_grid, "bigint")(micros)


def _next_on_grid(micros: np.ndarray, schedule: CronSchedule) -> np.ndarray:
    last = int(micros.max())
    grid = [to_micros(schedule.next(from_micros(int(micros.min()))))]
    while grid[-1] <= last:
        grid.append(to_micros(schedule.next(from_micros(grid[-1]))))
    ends = np.asarray(grid, np.int64)
    return ends[np.searchsorted(ends, micros, side="right")]
