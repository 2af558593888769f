"""Where a lookup gets compiled definitions from: the online store itself, or the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from featurestore.codec.keys import manifest_key, nodes_key
from featurestore.errors import StateError
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import StoredViewNode
from featurestore.ir.older import older_from_json
from featurestore.ir.serialize import manifest_from_json
from featurestore.stores.base import OnlineReader

__all__ = ["FixedManifests", "ManifestSource", "StoredManifests"]


class ManifestSource(Protocol):
    """Gives manifests and the nodes of older versions."""

    def manifest(self, generation: int) -> Manifest:
        """Give the manifest of at least this generation; asked again only when the pointer's generation grows."""
        ...

    def version(self, view: str, version: int) -> StoredViewNode | None:
        """Give a view's node in another version than the manifest's; None where it is not known."""
        ...


class FixedManifests:
    """One manifest, and the nodes of older versions that may still be served."""

    def __init__(self, manifest: Manifest, older: tuple[StoredViewNode, ...] = ()) -> None:
        self._manifest = manifest
        self._older = {(node.name, node.version): node for node in older}

    def manifest(self, generation: int) -> Manifest:
        return self._manifest

    def version(self, view: str, version: int) -> StoredViewNode | None:
        return self._older.get((view, version))


class StoredManifests:
    """The manifest that ``apply`` left in the online store; versions that this process saw stay known."""

    def __init__(self, store: OnlineReader, project: str, *, deadline: float | None = None) -> None:
        self._store = store
        self._project = project
        self._deadline = deadline
        self._manifest: Manifest | None = None
        self._seen: dict[tuple[str, int], StoredViewNode] = {}
        self._older: Mapping[tuple[str, int], StoredViewNode] | None = None

    def manifest(self, generation: int) -> Manifest:
        if self._manifest is None or self._manifest.generation < generation:
            stored = self._store.read([manifest_key(self._project)], deadline=self._deadline)[0]
            if stored is None:
                raise StateError(
                    f"the online store knows no project {self._project!r}; "
                    "run `featurestore apply` against it, or check the project's name and the store's address",
                    project=self._project,
                )
            manifest = manifest_from_json(stored.decode())
            self._seen.update(((node.name, node.version), node) for node in manifest.stored_views())
            self._manifest = manifest
            self._older = None
        return self._manifest

    def version(self, view: str, version: int) -> StoredViewNode | None:
        found = self._seen.get((view, version))
        if found is None:
            if self._older is None:
                stored = self._store.read([nodes_key(self._project)], deadline=self._deadline)[0]
                self._older = older_from_json(stored.decode()) if stored else {}
            found = self._older.get((view, version))
        return found
