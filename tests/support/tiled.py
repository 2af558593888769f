"""Runs of a view over one file source, from the tiles that the runs before left in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from featurestore.engines.base import ComputedStep, ComputeRequest
from featurestore.engines.spark.engine import SparkEngine
from featurestore.intervals import Interval
from featurestore.ir.nodes import FileSourceNode, ViewNode
from featurestore.runtime.tiles import standing_tiles
from featurestore.stores.delta_tiles import DeltaTiles
from tests.support.engine_runs import engine_of

__all__ = ["Tiled", "evaluate"]


@dataclass(frozen=True, kw_only=True)
class Tiled:
    """An engine over the events of a folder, and its tile tables there."""

    engine: SparkEngine
    tiles: DeltaTiles
    source: FileSourceNode

    @classmethod
    def at(cls, spark: SparkSession, folder: Path, source: FileSourceNode) -> Tiled:
        return cls(engine=engine_of(spark, folder, source), tiles=DeltaTiles(spark, str(folder)), source=source)

    def run(self, view: ViewNode, interval: Interval, *, first: bool) -> ComputedStep[DataFrame]:
        pin = self.engine.pin(self.source)
        stored = standing_tiles(view, self.source, interval, pin, engine=self.engine, tiles=self.tiles)
        pins = {self.source.name: pin}
        request = ComputeRequest(view=view, interval=interval, first=first, created=interval.end, pins=pins)
        return self.engine.compute(request, stored=stored)


def evaluate(step: ComputedStep[DataFrame], folder: Path) -> Mapping[str, int]:
    """Write a step's rows somewhere, and give its counts."""
    step.rows.write.mode("overwrite").parquet(str(folder / "out"))
    return step.metrics()
