"""Versions where no pointer record says which are served: those of the manifest, as in training joins."""

from __future__ import annotations

from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import OnDemandViewNode, StoredViewNode

__all__ = ["ManifestVersions"]


class ManifestVersions:
    """Every view in the manifest's own version, as if all were published; on-demand features are all computed."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def current(self, view: str) -> tuple[StoredViewNode, bool]:
        return self._manifest.stored_view(view), True

    def pinned(self, view: str, version: int) -> StoredViewNode | None:
        node = self._manifest.stored_view(view)
        return node if node.version == version else None

    def previous(self, view: str) -> StoredViewNode | None:
        return None

    def is_written(self, view: OnDemandViewNode) -> bool:
        return False
