"""Where a lookup gets compiled definitions from: records of the online store, or the caller. No I/O of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from featurestore.codec.keys import manifest_key, nodes_key
from featurestore.errors import StateError
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import StoredViewNode
from featurestore.ir.older import older_from_json
from featurestore.ir.serialize import manifest_from_json

__all__ = ["FixedManifests", "ManifestSource", "StoredManifests"]


class ManifestSource(Protocol):
    """Gives a manifest and the nodes of older versions, once the records it wants were read."""

    def wanted(self, generation: int) -> tuple[bytes, ...]:
        """Name the records to read before a manifest of at least this generation is known; none where it is."""
        ...

    def take(self, found: Sequence[bytes | None]) -> None:
        """Take the records that ``wanted`` named, in its order."""
        ...

    @property
    def manifest(self) -> Manifest:
        """The newest manifest that is known."""
        ...

    def version(self, view: str, version: int) -> StoredViewNode | None:
        """Give a view's node in another version than the manifest's; None where it is not known."""
        ...


class FixedManifests:
    """One manifest, and the nodes of older versions that may still be served."""

    def __init__(self, manifest: Manifest, older: tuple[StoredViewNode, ...] = ()) -> None:
        self._manifest = manifest
        self._older = {(node.name, node.version): node for node in older}

    def wanted(self, generation: int) -> tuple[bytes, ...]:
        return ()

    def take(self, found: Sequence[bytes | None]) -> None:
        """Take nothing: what is known is all there is."""

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def version(self, view: str, version: int) -> StoredViewNode | None:
        return self._older.get((view, version))


class StoredManifests:
    """The manifest that ``apply`` left in the online store; versions that this process saw stay known."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._manifest: Manifest | None = None
        self._seen: dict[tuple[str, int], StoredViewNode] = {}
        self._stored_older: bytes | None = None
        self._older: Mapping[tuple[str, int], StoredViewNode] | None = None

    def wanted(self, generation: int) -> tuple[bytes, ...]:
        if self._manifest is not None and self._manifest.generation >= generation:
            return ()
        return manifest_key(self._project), nodes_key(self._project)

    def take(self, found: Sequence[bytes | None]) -> None:
        """Take the records; StateError when there is no manifest. Older nodes are read when one is asked for."""
        stored, older = found
        if stored is None:
            raise StateError(
                f"the online store knows no project {self._project!r}; "
                "run `featurestore apply` against it, or check the project's name and the store's address",
                project=self._project,
            )
        manifest = manifest_from_json(stored.decode())
        self._seen.update(((node.name, node.version), node) for node in manifest.stored_views())
        self._stored_older, self._older = older, None
        self._manifest = manifest

    @property
    def manifest(self) -> Manifest:
        if self._manifest is None:
            raise StateError(f"the manifest of project {self._project!r} was not read yet", project=self._project)
        return self._manifest

    def version(self, view: str, version: int) -> StoredViewNode | None:
        found = self._seen.get((view, version))
        if found is None:
            older = self._older
            if older is None:
                older = self._older = older_from_json(self._stored_older.decode()) if self._stored_older else {}
            found = older.get((view, version))
        return found
