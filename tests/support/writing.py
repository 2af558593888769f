"""A small project in an online store, with a writer on it."""

from __future__ import annotations

from featurestore.codec.pointer import VersionRef
from featurestore.errors import SchemaMismatch
from featurestore.ingest.writer import OnlineWriter
from featurestore.ir.nodes import StoredViewNode
from featurestore.serving.manifests import FixedManifests
from tests.support.serving import World

__all__ = ["problems_of", "ref_of", "writer_on"]


def writer_on(world: World, *, older: tuple[StoredViewNode, ...] = ()) -> OnlineWriter:
    return OnlineWriter(world.store, "shop", manifests=FixedManifests(world.manifest, older), clock=world.clock)


def problems_of(error: SchemaMismatch) -> dict[str, str]:
    """Give the problems by column."""
    return {problem.object: problem.message for problem in error.problems}


def ref_of(view: StoredViewNode) -> VersionRef:
    return VersionRef(version=view.version, storage_id=view.storage_id)
