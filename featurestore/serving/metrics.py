"""Counters and histograms of lookups through the OpenTelemetry API (docs/observability.md); loaded only when asked."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
from opentelemetry.metrics import Meter, get_meter

from featurestore.retrieval.plan import StoredOutput
from featurestore.serving.core import Block, Lookup, Read
from featurestore.serving.response import OnlineResponse
from featurestore.serving.rows import STATUSES

__all__ = ["LookupMetrics"]

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_AGES = (1, 10, 60, 600, 3_600, 21_600, 86_400, 172_800, 604_800, 2_592_000)
_MICROS = 1_000_000


class LookupMetrics:
    """Observes lookups of sync and asyncio clients; threads may share it. ``meter`` None is the global provider's."""

    def __init__(self, meter: Meter | None = None) -> None:
        made = meter or get_meter("featurestore")
        count, histogram = made.create_counter, made.create_histogram
        self._calls = count("featurestore.lookup.calls", "{call}", "lookups, by error.type where they failed")
        self._rows = count("featurestore.lookup.rows", "{row}", "entity rows answered")
        self._round_trips = count("featurestore.lookup.round_trips", "{round_trip}", "reads of the online store")
        self._keys = count("featurestore.lookup.keys", "{key}", "keys read, the pointer record included")
        self._bytes = count("featurestore.lookup.bytes", "By", "bytes of the values read")
        self._values = count("featurestore.lookup.values", "{value}", "values answered, by view and status")
        self._predictions = count("featurestore.prediction.answers", "{answer}", "predictions, by view and status")
        self._seconds = histogram(
            "featurestore.lookup.duration", "s", "a whole lookup", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._read_seconds = histogram(
            "featurestore.lookup.read.duration", "s", "one round trip", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._decode_seconds = histogram(
            "featurestore.lookup.decode.duration",
            "s",
            "from the last reply to the answer, without models",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._inference_seconds = histogram(
            "featurestore.lookup.inference.duration",
            "s",
            "waiting for models in a lookup",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._ages = histogram(
            "featurestore.lookup.age",
            "s",
            "age of the oldest value of a view in an answer",
            explicit_bucket_boundaries_advisory=_AGES,
        )
        self._prediction_ages = histogram(
            "featurestore.prediction.age",
            "s",
            "age of the oldest prediction of a view in an answer",
            explicit_bucket_boundaries_advisory=_AGES,
        )

    def observe(self, lookup: Lookup) -> Lookup:
        """Go through a lookup's steps, and record what they took and what came out."""
        start = time.perf_counter()
        try:
            response = yield from self._steps(lookup)
        except Exception as error:
            self._calls.add(1, {"error.type": type(error).__name__})
            raise
        finally:
            self._seconds.record(time.perf_counter() - start)
        self._calls.add(1)
        self._record(response)
        return response

    def _steps(self, lookup: Lookup) -> Lookup:
        result: Any = None
        replied = time.perf_counter()
        inferring = 0.0
        while True:
            try:
                step = lookup.send(result)
            except StopIteration as done:
                self._decode_seconds.record(time.perf_counter() - replied - inferring)
                response: OnlineResponse = done.value
                return response
            asked = time.perf_counter()
            result = yield step
            took = time.perf_counter() - asked
            match step:
                case Read():
                    replied = asked + took
                    self._read_seconds.record(took)
                    self._round_trips.add(1)
                    self._keys.add(len(step.keys))
                    self._bytes.add(sum(len(value) for value in result if value is not None))
                case Block():
                    inferring += took
                    self._inference_seconds.record(took)

    def _record(self, response: OnlineResponse) -> None:
        self._rows.add(response.count)
        counts: Counter[tuple[str, int]] = Counter()
        aged: set[str] = set()
        for output, column in response.outputs():
            view = output.ref.partition(":")[0].partition("@")[0]
            for code, number in enumerate(np.bincount(column.statuses(), minlength=len(STATUSES)).tolist()):
                counts[view, code] += number
            if isinstance(output, StoredOutput) and view not in aged:
                aged.add(view)
                ages, valid = column.age_us()
                if valid is None or valid.any():
                    self._ages.record(int(ages[valid].max()) / _MICROS, {"view": view})
        for (view, code), number in counts.items():
            if number:
                self._values.add(number, {"view": view, "status": str(STATUSES[code])})
        for view, answers in response.predictions.items():
            for status, number in Counter(answer.status for answer in answers).items():
                self._predictions.add(number, {"view": view, "status": str(status)})
            known = [answer.age.total_seconds() for answer in answers if answer.age is not None]
            if known:
                self._prediction_ages.record(max(known), {"view": view})
