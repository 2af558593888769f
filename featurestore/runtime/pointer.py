"""The pointer record: which version of each view readers take, moved when a version's publication is complete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from featurestore.codec.keys import manifest_key, nodes_key, pointer_key
from featurestore.codec.pointer import Pointer, VersionRef, ViewPointer
from featurestore.errors import OnlineStoreUnavailable
from featurestore.intervals import Coverage, to_micros
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode, ViewNode
from featurestore.ir.older import older_from_json, older_to_json
from featurestore.ir.serialize import manifest_from_json, manifest_to_json
from featurestore.runtime.context import RuntimeContext

__all__ = ["announce_manifest", "open_for_scoring", "point_to", "read_pointer", "serving", "update_pointer"]

_ATTEMPTS = 100


def read_pointer(context: RuntimeContext) -> Pointer | None:
    stored = context.online.read([pointer_key(context.settings.project)])[0]
    return Pointer.from_bytes(stored) if stored else None


def announce_manifest(context: RuntimeContext, manifest: Manifest) -> None:
    """Store the manifest for SDK processes and make the pointer fit it. Idempotent.

    A view new to the pointer, and a version that has nothing to publish from Delta (a bumped model, a view without
    schedule), is served at once; another new version is ``building`` until its publication is complete. Views that
    the manifest lacks are taken out: lookups of them fail from then on. A manifest older than the pointer's changes
    nothing.
    """
    current = read_pointer(context)
    if current is not None and current.generation > manifest.generation:
        return
    _keep_older_nodes(context, manifest.project, current)
    context.online.put_record(manifest_key(manifest.project), manifest_to_json(manifest).encode())
    served = {view.name: view for view in manifest.stored_views() if not isinstance(view, ViewNode) or view.online}
    most = context.settings.publish.warm_versions

    def change(pointer: Pointer) -> Pointer:
        if pointer.generation > manifest.generation:
            return pointer
        for name in set(pointer.views) - set(served):
            pointer = pointer.with_view(name, None)
        for name, view in served.items():
            pointer = pointer.with_view(name, _announced(pointer.views.get(name), view, most))
        return replace(pointer, generation=manifest.generation)

    update_pointer(context, change)


def _keep_older_nodes(context: RuntimeContext, project: str, pointer: Pointer | None) -> None:
    """Keep the nodes of view versions that may still be served or rolled back to: the pointer knows only numbers."""
    stored_manifest, stored_nodes = context.online.read([manifest_key(project), nodes_key(project)])
    nodes = dict(older_from_json(stored_nodes.decode())) if stored_nodes else {}
    if stored_manifest is not None:
        for view in manifest_from_json(stored_manifest.decode()).stored_views():
            nodes[view.name, view.version] = view
    pointed = {} if pointer is None else pointer.views
    wanted = {(name, ref.version) for name, view in pointed.items() for ref in view.live()}
    kept = [node for identity, node in nodes.items() if identity in wanted]
    context.online.put_record(nodes_key(project), older_to_json(kept).encode())


def point_to(context: RuntimeContext, view: StoredViewNode, coverage: Coverage) -> None:
    """Say in which stretches the view's published rows hold, and serve this version if it reaches as far as the old.

    For a prediction view it also ends the waiting for its scoring. A version that was rolled back from stays warm, with
    its stretches moved on.
    """
    own = _covered(view, coverage)
    until = own.covered_until_us
    most = context.settings.publish.warm_versions

    def change(pointer: Pointer) -> Pointer:
        old = pointer.views.get(view.name)
        if old is not None and old.storage_id == view.storage_id:
            return pointer.with_view(view.name, _reaching(context, view, old, own))
        if pointer.generation > context.manifest.generation:
            return pointer  # definitions were applied meanwhile: this version is not to be served any more
        if old is None:
            return pointer.with_view(view.name, serving(own, None, most))
        if old.held_back == view.storage_id:
            warm = tuple(own if ref.storage_id == view.storage_id else ref for ref in old.warm)
            return pointer.with_view(view.name, replace(old, warm=warm))
        if old.covered_until_us is not None and (until is None or until < old.covered_until_us):
            return pointer.with_view(view.name, replace(old, building=_ref(view)))
        return pointer.with_view(view.name, serving(own, old, most))

    update_pointer(context, change)


def serving(ref: VersionRef, old: ViewPointer | None, most_warm: int) -> ViewPointer:
    """Give the entry of a view that serves ``ref`` from now on; what was served before is the first warm version."""
    others = () if old is None else (old.ref, *old.warm)
    warm = tuple(other for other in others if other.storage_id != ref.storage_id)
    return ViewPointer(
        version=ref.version,
        storage_id=ref.storage_id,
        covered_until_us=ref.covered_until_us,
        covered_from_us=ref.covered_from_us,
        earlier_us=ref.earlier_us,
        warm=warm[:most_warm],
    )


def open_for_scoring(context: RuntimeContext, view: StoredViewNode) -> None:
    """Before a feature publication, note on every prediction view that reads it that scoring is pending.

    Until that scoring is published (or ``input_grace`` is over) changed inputs make its predictions not stale.
    """
    now = to_micros(context.clock())
    readers = [
        prediction
        for prediction in context.manifest.prediction_views.values()
        if prediction.schedule is not None and view.name in context.manifest.parents(prediction)
    ]
    if not readers:
        return

    def change(pointer: Pointer) -> Pointer:
        for prediction in readers:
            found = pointer.views.get(prediction.name)
            if found is not None and found.pending_since_us is None and _awaits_scoring(context, prediction, found):
                pointer = pointer.with_view(prediction.name, replace(found, pending_since_us=now))
        return pointer

    update_pointer(context, change)


def _covered(view: StoredViewNode, coverage: Coverage) -> VersionRef:
    """Give the last covered stretch, and those before it whose rows could still be answered with at its end."""
    if not coverage:
        return VersionRef(version=view.version, storage_id=view.storage_id)
    *earlier, last = coverage
    ttl = view.ttl if isinstance(view, ViewNode) and view.is_aggregate else None
    return VersionRef(
        version=view.version,
        storage_id=view.storage_id,
        covered_until_us=to_micros(last.end),
        covered_from_us=to_micros(last.start),
        earlier_us=tuple(
            (to_micros(stretch.start), to_micros(stretch.end))
            for stretch in earlier
            if ttl and last.end - stretch.end <= ttl
        ),
    )


def _reaching(context: RuntimeContext, view: StoredViewNode, old: ViewPointer, own: VersionRef) -> ViewPointer:
    """Move the served version's stretch forward; of two publishers the one that saw more counts, whoever ends last."""
    until = own.covered_until_us
    if old.covered_until_us is not None and (until is None or until < old.covered_until_us):
        return old
    moved = replace(old, covered_until_us=until, covered_from_us=own.covered_from_us, earlier_us=own.earlier_us)
    if isinstance(view, PredictionViewNode) and not _awaits_scoring(context, view, moved):
        moved = replace(moved, pending_since_us=None)
    return moved


def _awaits_scoring(context: RuntimeContext, prediction: PredictionViewNode, found: ViewPointer) -> bool:
    """Say whether an input view's table reaches further than the published predictions."""
    ends = [
        end
        for name in context.manifest.parents(prediction)
        if (end := context.ledger.coverage(name, context.manifest.stored_view(name).version).end) is not None
    ]
    return bool(ends) and (found.covered_until_us is None or to_micros(min(ends)) > found.covered_until_us)


def _announced(old: ViewPointer | None, view: StoredViewNode, most_warm: int) -> ViewPointer:
    if old is None:
        return serving(_ref(view), None, most_warm)
    if old.storage_id == view.storage_id:
        return replace(old, building=None, held_back=None)
    if old.held_back == view.storage_id:
        return old
    if isinstance(view, PredictionViewNode) or view.schedule is None:
        return serving(_ref(view), old, most_warm)
    warm = tuple(ref for ref in old.warm if ref.storage_id != view.storage_id)
    return replace(old, building=_ref(view), warm=warm, held_back=None)


def _ref(view: StoredViewNode) -> VersionRef:
    return VersionRef(version=view.version, storage_id=view.storage_id)


def update_pointer(context: RuntimeContext, change: Callable[[Pointer], Pointer]) -> None:
    """Replace the pointer by compare-and-set until no other writer came between."""
    project = context.settings.project
    key = pointer_key(project)
    for _ in range(_ATTEMPTS):
        stored = context.online.read([key])[0]
        if stored is None:
            pointer = Pointer(project=project, project_id=context.online.project_id(project), generation=0)
        else:
            pointer = Pointer.from_bytes(stored)
        changed = change(pointer).to_bytes()
        if changed == stored or context.online.replace_record(key, stored, changed):
            return
    raise OnlineStoreUnavailable(
        f"the pointer record of project {project!r} was changed by others {_ATTEMPTS} times in a row; try again",
        project=project,
    )
