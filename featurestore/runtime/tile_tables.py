"""The tile tables of a project: which view versions they serve, and those that serve none any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from featurestore.ir.tiles import tile_location
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.tiles import tiled_source
from featurestore.stores.delta_log import DeltaLog

__all__ = ["tile_tables"]


def tile_tables(context: RuntimeContext) -> Mapping[str, frozenset[int]]:
    """Give the storage ids of the versions that share each tile table, by its location; reads one record an apply.

    Tables that are not there are left out. Starts no Spark job.
    """
    shared: defaultdict[str, set[int]] = defaultdict(set)
    for generation in range(context.manifest.generation, 0, -1):
        manifest = context.registry.manifest(generation)
        for view in manifest.views.values():
            source = tiled_source(view, manifest)
            if source is not None:
                shared[tile_location(view, source)].add(view.storage_id)
    root = context.settings.offline_root.rstrip("/")
    return {
        location: frozenset(ids)
        for location, ids in shared.items()
        if DeltaLog(f"{root}/{location}").latest_version() is not None
    }
