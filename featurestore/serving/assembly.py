"""What both lookup clients are made of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypedDict

from featurestore.intervals import utc_now
from featurestore.models.local import LocalModels
from featurestore.serving.code import CodeSource, ImportedCode
from featurestore.serving.core import LookupCore, LookupObserver
from featurestore.serving.inference import Inference
from featurestore.serving.inference_options import InferenceOptions
from featurestore.serving.manifests import ManifestSource, StoredManifests
from featurestore.serving.model_batch import Predictor
from featurestore.serving.row_cache import CacheOptions
from featurestore.serving.served_log import ServedLog
from featurestore.stores.base import OnlineStore

__all__ = ["LookupOptions", "assemble"]


class LookupOptions(TypedDict, total=False):
    """``manifests`` default to what ``apply`` left in the online store.

    ``code`` gives on-demand functions and models: by default what the import path has. ``predictor`` says where models
    run, in this process by default, and ``inference`` how that is bounded. ``metrics`` (``serving.metrics``) counts and
    times lookups, ``log`` notes what was served, and ``cache`` lets calls answer from what this process read a moment
    ago.
    """

    manifests: ManifestSource | None
    clock: Callable[[], datetime]
    code: CodeSource | None
    predictor: Predictor | None
    inference: InferenceOptions | None
    metrics: LookupObserver | None
    cache: CacheOptions | None
    log: ServedLog | None


def assemble(store: OnlineStore, project: str, options: LookupOptions) -> tuple[LookupCore, Inference]:
    """Make the core that a client drives, and the inference in it, which writes to ``store``."""
    code = options.get("code") or ImportedCode()
    predictor = options.get("predictor") or LocalModels(code.resolve)
    inference = Inference(store, predictor, options.get("inference"), log=options.get("log"))
    core = LookupCore(
        project,
        manifests=options.get("manifests") or StoredManifests(project),
        inference=inference,
        clock=options.get("clock", utc_now),
        code=code,
        observer=options.get("metrics"),
        cache=options.get("cache"),
    )
    return core, inference
