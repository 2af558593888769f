"""Two versions of a prediction view compared on the entities of one instant, in a report."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurestore.errors import FeatureNotFound, InferenceFailed, InputNotReady, OnDemandFailed, StateError
from featurestore.intervals import show_instant, to_utc
from featurestore.ir.content import archive_name
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import CodeRef, PredictionViewNode
from featurestore.models.files import ModelFiles
from featurestore.models.local import LocalModels
from featurestore.ondemand.functions import find_function, resolve_code
from featurestore.ondemand.isolated import IsolatedModules
from featurestore.reports.comparison import Latency, Side, compare, measure_latency, write_comparison
from featurestore.runtime.context import RuntimeContext

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

__all__ = ["compare_versions", "prediction_version", "report_path"]

_LATENCY_ROWS = 1_000
_SIDES = ("old", "new")


def compare_versions(
    context: RuntimeContext,
    name: str,
    versions: tuple[int, int],
    *,
    at: datetime | None = None,
    rows: int = 100_000,
    path: Path | None = None,
) -> Path:
    """Compare the predictions that two versions have for each entity at one instant; give the report's page.

    ``at`` defaults to the latest instant that both versions were scored for. Of more than ``rows`` entities an even
    sample is taken, the same each time. Latency is measured in this process where the version's model can be loaded.
    """
    found = [prediction_version(context, name, version) for version in versions]
    instant = _common_end(context, [view for view, _ in found]) if at is None else to_utc(at)
    table = _predictions(context, [view for view, _ in found], instant, rows)
    old, new = (
        _side(context, view, manifest, instant, {o: table[f"{side}_{o}"] for o in _outputs(view)})
        for side, (view, manifest) in zip(_SIDES, found, strict=True)
    )
    basis = f"one for each entity, as of {show_instant(instant)}"
    target = path or report_path(context, name, f"versions-{versions[0]}-{versions[1]}")
    return write_comparison(compare(name, old, new, basis=basis), old, new, target)


def prediction_version(context: RuntimeContext, name: str, version: int) -> tuple[PredictionViewNode, Manifest]:
    """Find a version's definition with the manifest it was applied in; FeatureNotFound names the versions there are."""
    for generation in range(context.manifest.generation, 0, -1):
        manifest = context.registry.manifest(generation)
        view = manifest.prediction_views.get(name)
        if view is not None and view.version == version:
            return view, manifest
    if name not in context.manifest.prediction_views:
        valid = ", ".join(sorted(context.manifest.prediction_views)) or "none"
        raise FeatureNotFound(f"there is no prediction view {name!r}; there are {valid}", view=name)
    known = ", ".join(str(applied.version) for applied in context.registry.versions(name))
    raise FeatureNotFound(f"prediction view {name!r} has no version {version}; it has {known}", view=name)


def report_path(context: RuntimeContext, view: str, name: str) -> Path:
    """Say where a view's report is written."""
    return Path(context.settings.state_path) / "reports" / "predictions" / view / f"{name}.html"


def _common_end(context: RuntimeContext, views: list[PredictionViewNode]) -> datetime:
    ends = {view.version: context.ledger.coverage(view.name, view.version).end for view in views}
    lacking = [version for version, end in ends.items() if end is None]
    if lacking:
        name = views[0].name
        raise InputNotReady(
            f"version {lacking[0]} of prediction view {name!r} has no predictions to compare; score it first: "
            f"featurestore backfill {name} START END while it is the applied one",
            view=name,
        )
    return min(end for end in ends.values() if end is not None)


def _predictions(context: RuntimeContext, views: list[PredictionViewNode], instant: datetime, rows: int) -> pa.Table:
    """Give each entity's predictions of both versions as of the instant, in columns ``old_…`` and ``new_…``."""
    from pyspark.sql import functions as F

    frames = [_as_of(context, view, instant, side) for side, view in zip(_SIDES, views, strict=True)]
    keys = [key.name for key in views[0].join_keys]
    joined = frames[0].join(frames[1], keys, "full_outer")
    return joined.orderBy(F.xxhash64(*(F.col(f"`{key}`") for key in keys))).limit(rows).toArrow()


def _as_of(context: RuntimeContext, view: PredictionViewNode, instant: datetime, side: str) -> DataFrame:
    from pyspark.sql import functions as F

    from featurestore.engines.spark.historical import EXPIRES, IS_CURRENT, HistoricalLookup, snapshot

    lookup = HistoricalLookup(
        view=view,
        rows=context.offline.rows(view),
        features=tuple((name, f"{side}_{name}") for name in _outputs(view)),
        coverage=context.ledger.coverage(view.name, view.version),
    )
    state = snapshot(lookup, F.lit(instant))
    return state.where(F.col(IS_CURRENT)).drop(IS_CURRENT, EXPIRES)


def _side(
    context: RuntimeContext, view: PredictionViewNode, manifest: Manifest, instant: datetime, outputs: Mapping[str, Any]
) -> Side:
    model = view.model
    label, title = f"version {view.version}", f"model {model.name} {model.version} ({model.place})"
    try:
        latency = _latency(context, view, manifest, instant)
    except (InferenceFailed, OnDemandFailed, StateError) as error:
        return Side(label=label, model=title, outputs=outputs, note=f"latency was not measured: {error}")
    return Side(label=label, model=title, outputs=outputs, latency=latency)


def _latency(
    context: RuntimeContext, view: PredictionViewNode, manifest: Manifest, instant: datetime
) -> tuple[Latency, ...]:
    """Time the version's model on the features that it reads of the first entities at the instant."""
    from featurestore.engines.spark.scoring import ScoreRequest, scoring_inputs

    parents = [manifest.stored_view(name) for name in manifest.parents(view)]
    request = ScoreRequest(
        view=view,
        manifest=manifest,
        step_end=instant,
        created=instant,
        tables={parent.name: context.offline.rows(parent) for parent in parents},
        coverage={parent.name: context.ledger.coverage(parent.name, parent.version) for parent in parents},
    )
    with _models_of(context, manifest) as models:
        models.load(view.model)
        frame, predictor = scoring_inputs(request)
        batches = frame.limit(_LATENCY_ROWS).toArrow().combine_chunks().to_batches()
        if not batches:
            return ()
        return measure_latency(partial(models.predict, view.model), predictor.arguments(batches[0]))


@contextmanager
def _models_of(context: RuntimeContext, manifest: Manifest) -> Iterator[LocalModels]:
    """Give models with the code and the files of the definitions zip that was applied with the manifest."""
    archive = context.settings.state_path / "code" / archive_name(manifest.code)
    if not archive.exists():
        raise StateError(f"the definitions zip of generation {manifest.generation} is not at {archive} any more")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        modules = IsolatedModules(Path(folder), f"compared_{manifest.code}")

        def resolve(code: CodeRef) -> Callable[..., Any]:
            held = modules.holds(code.path.partition(":")[0])
            return find_function(code.path, modules.load) if held else resolve_code(code)

        yield LocalModels(resolve, files=ModelFiles(folder))


def _outputs(view: PredictionViewNode) -> list[str]:
    return [feature.name for feature in view.features]
