"""The manifest: all compiled definitions of a project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from featurestore.errors import FeatureNotFound
from featurestore.ir.nodes import (
    EntityNode,
    FeatureRef,
    OnDemandViewNode,
    OnlineViewNode,
    PermissionNode,
    PredictionViewNode,
    PushSourceNode,
    ServiceNode,
    SourceInput,
    SourceNode,
    StoredViewNode,
    ViewInputNode,
    ViewNode,
)

__all__ = ["MANIFEST_FORMAT", "Manifest"]

MANIFEST_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Nodes by name. ``generation`` counts applies; ``code`` is the digest of the definitions zip, "" before apply."""

    project: str
    generation: int = 0
    code: str = ""
    entities: Mapping[str, EntityNode] = field(default_factory=dict)
    sources: Mapping[str, SourceNode] = field(default_factory=dict)
    views: Mapping[str, ViewNode] = field(default_factory=dict)
    on_demand_views: Mapping[str, OnDemandViewNode] = field(default_factory=dict)
    prediction_views: Mapping[str, PredictionViewNode] = field(default_factory=dict)
    services: Mapping[str, ServiceNode] = field(default_factory=dict)
    permissions: Mapping[str, PermissionNode] = field(default_factory=dict)

    def stored_view(self, name: str) -> StoredViewNode:
        """Find a feature view or prediction view."""
        found = self.views.get(name) or self.prediction_views.get(name)
        if found is None:
            valid = ", ".join(sorted([*self.views, *self.prediction_views])) or "none"
            raise FeatureNotFound(f"project {self.project!r} has no view {name!r}; it has {valid}", view=name)
        return found

    def stored_views(self) -> Iterator[StoredViewNode]:
        """Give feature views and prediction views, inputs before those that read them."""
        done: set[str] = set()

        def visit(name: str) -> Iterator[StoredViewNode]:
            if name in done:
                return
            done.add(name)
            view = self.stored_view(name)
            for parent in self.parents(view):
                yield from visit(parent)
            yield view

        for name in (*sorted(self.views), *sorted(self.prediction_views)):
            yield from visit(name)

    def written_views(self) -> Iterator[OnDemandViewNode]:
        """Give the on-demand views whose features are stored when their inputs are written, as applied."""
        return (view for view in self.on_demand_views.values() if view.write_to_online_store and view.storage_id)

    def online_views(self) -> Iterator[OnlineViewNode]:
        """Give all views that ``apply`` gives versions and storage ids."""
        yield from self.stored_views()
        yield from (view for view in self.on_demand_views.values() if view.write_to_online_store)

    def is_push_fed(self, view: StoredViewNode) -> bool:
        """Say whether all rows of the view are pushed: there is no history that a step could compute them from."""
        if not isinstance(view, ViewNode):
            return False
        sources = [self.sources.get(entry.source) for entry in view.inputs if isinstance(entry, SourceInput)]
        return len(sources) == len(view.inputs) > 0 and all(isinstance(source, PushSourceNode) for source in sources)

    def parents(self, view: StoredViewNode) -> tuple[str, ...]:
        """Name the stored views whose rows ``view`` reads, each once."""
        if isinstance(view, ViewNode):
            names = [entry.view for entry in view.inputs if isinstance(entry, ViewInputNode)]
        else:
            names = [ref.view for ref in self.stored_inputs(view.inputs)]
        return tuple(dict.fromkeys(names))

    def stored_inputs(self, refs: tuple[FeatureRef, ...]) -> tuple[FeatureRef, ...]:
        """Resolve references to on-demand features into the stored features those read; keep the others."""
        resolved: dict[FeatureRef, None] = {}
        for ref in refs:
            on_demand = self.on_demand_views.get(ref.view)
            for stored in on_demand.inputs if on_demand else (ref,):
                resolved[stored] = None
        return tuple(resolved)
