"""What a writer knows of the project: the pointer record and the definitions that go with it."""

from __future__ import annotations

from featurestore.codec.keys import pointer_key
from featurestore.codec.pointer import Pointer
from featurestore.errors import FeatureNotFound, StateError
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode
from featurestore.serving.manifests import ManifestSource, StoredManifests
from featurestore.serving.snapshot import Snapshot
from featurestore.stores.base import OnlineReader

__all__ = ["ProjectState", "live_versions", "no_pointer", "served_version"]


class ProjectState:
    """Reads the pointer record anew for each write; definitions only when the record says that they changed."""

    def __init__(self, store: OnlineReader, project: str, manifests: ManifestSource | None = None) -> None:
        self._store = store
        self._project = project
        self._manifests = manifests or StoredManifests(project)
        self._snapshot: Snapshot | None = None

    def look(self) -> Snapshot:
        """Give the project's present state; one round trip, and one more when definitions were applied since."""
        wanted = self._manifests.wanted(0)
        record, *found = self._store.read([pointer_key(self._project), *wanted])
        if wanted:
            self._manifests.take(found)
        if self._snapshot is not None and self._snapshot.record == record:
            return self._snapshot
        wanted = self._manifests.wanted(Pointer.from_bytes(record).generation if record else 0)
        if wanted:
            self._manifests.take(self._store.read(list(wanted)))
        self._snapshot = Snapshot(self._manifests, record)
        return self._snapshot

    @property
    def project(self) -> str:
        return self._project


def served_version(snapshot: Snapshot, name: str) -> StoredViewNode:
    """Give the version of a view that readers take; FeatureNotFound where there is no such view online."""
    node, is_served = snapshot.current(name)
    if snapshot.pointer is None:
        raise no_pointer(snapshot.manifest.project)
    if not is_served:
        raise FeatureNotFound(
            f"view {name!r} is not served online; set online=True and run `featurestore apply`", view=name
        )
    return node


def no_pointer(project: str) -> StateError:
    """Make the error of a write to a store that no definitions were applied against."""
    return StateError(
        f"project {project!r} has no pointer record in the online store; run `featurestore apply` against it",
        project=project,
    )


def live_versions(snapshot: Snapshot, name: str) -> list[StoredViewNode]:
    """Give the versions that an accepted write goes to, the served one first: also those building and warm.

    A prediction goes to the served version only: another version is another model.
    """
    served = served_version(snapshot, name)
    if isinstance(served, PredictionViewNode) or snapshot.pointer is None:
        return [served]
    nodes = [snapshot.pinned(name, ref.version) for ref in snapshot.pointer.views[name].live()[1:]]
    return [served, *(node for node in nodes if node is not None)]
