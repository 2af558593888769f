"""Which columns of a write concern on-demand views with ``write_to_online_store``, and what is to become of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from featurestore.errors import FeatureNotFound
from featurestore.ingest.checks import Checks
from featurestore.ingest.routing import Route, TimeColumns
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from featurestore.ir.inputs import argument_names
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import FeatureRef, FieldNode, OnDemandViewNode
from featurestore.retrieval.refs import suggest
from featurestore.serving.snapshot import Snapshot

__all__ = ["OnDemandRoute", "route_beside", "route_direct", "written_columns", "written_view"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemandRoute:
    """What one on-demand view takes of a frame.

    ``is_finished``: the frame has the outputs themselves; else the function computes them, from the columns ``inputs``
    (argument name and type), the request fields, and for the rest from what is stored. ``beside`` is the route of the
    source view whose rows are written with it, None for a direct write.
    """

    view: OnDemandViewNode
    times: TimeColumns
    is_finished: bool
    inputs: tuple[FieldNode, ...] = ()
    beside: Route | None = None

    @property
    def columns(self) -> tuple[FieldNode, ...]:
        """The columns of the frame, beside the key, with the types they must have."""
        return self.view.features if self.is_finished else (*self.view.request, *self.inputs)

    @property
    def is_statement(self) -> bool:
        """Whether the rows say something that their stored inputs do not."""
        return self.is_finished or bool(self.inputs)


def written_view(manifest: Manifest, name: str) -> OnDemandViewNode | None:
    """Find an on-demand view to write to by its name; None where no on-demand view is called so."""
    view = manifest.on_demand_views.get(name)
    if view is not None and not (view.write_to_online_store and view.storage_id):
        raise FeatureNotFound(
            f"on-demand view {name!r} is computed when it is read, so nothing of it is stored; write to the views that "
            "it reads, or set write_to_online_store=True and run `featurestore apply`",
            view=name,
        )
    return view


def written_columns(manifest: Manifest, views: Iterable[str]) -> set[str]:
    """Name the columns that the on-demand views written beside these views may take of a frame."""
    names = set(views)
    return {
        field.name
        for view in manifest.written_views()
        if names & {ref.view for ref in view.inputs}
        for field in (*view.join_keys, *view.request, *view.features)
    }


def route_beside(
    manifest: Manifest, routes: Sequence[Route], names: Sequence[str], checks: Checks, *, transform: bool
) -> tuple[list[OnDemandRoute], dict[str, str]]:
    """Give what on-demand views take of a frame that is written to views they read; ``checks`` gets what is missing.

    The second value says which views cannot be computed from the frame, and why: a lookup computes those.
    """
    found: list[OnDemandRoute] = []
    skipped: dict[str, str] = {}
    for view in manifest.written_views():
        sources = {ref.view for ref in view.inputs}
        beside = next((route for route in routes if route.view.name in sources), None)
        if beside is None:
            continue
        outputs = [field.name for field in view.features if field.name in names]
        lacking = [field.name for field in view.join_keys if field.name not in names]
        if transform and outputs:
            _refuse_outputs(view, outputs, checks)
        elif transform and lacking:
            skipped[view.name] = f"the frame lacks its join key {', '.join(lacking)}"
        elif transform and not _misses_request(view, names, checks):
            found.append(OnDemandRoute(view=view, times=beside.times, is_finished=False, beside=beside))
        elif not transform and outputs and _has_all(view, outputs, lacking, checks):
            found.append(OnDemandRoute(view=view, times=beside.times, is_finished=True, beside=beside))
    return found, skipped


def route_direct(
    snapshot: Snapshot, view: OnDemandViewNode, names: Sequence[str], checks: Checks, *, transform: bool
) -> list[OnDemandRoute]:
    """Give what an on-demand view takes of a frame that is written to it; ``checks`` gets missing and unknown names."""
    times = TimeColumns(
        event=EVENT_TIMESTAMP if EVENT_TIMESTAMP in names else None,
        created=CREATED_TIMESTAMP if CREATED_TIMESTAMP in names else None,
    )
    arguments = _typed(snapshot, argument_names(view.inputs))
    outputs = [field.name for field in view.features if field.name in names]
    taken = [field.name for field in (*view.join_keys, *view.request)]
    known = {*taken, *arguments, EVENT_TIMESTAMP, CREATED_TIMESTAMP, *(field.name for field in view.features)}
    for name in names:
        if name not in known:
            valid = [*taken, *(outputs or arguments)]
            checks.refuse(name, f"on-demand view {view.name!r} has no such column: {suggest(name, valid)}")
    lacking = [field.name for field in view.join_keys if field.name not in names]
    if not transform:
        is_whole = _has_all(view, outputs, lacking, checks)
        return [OnDemandRoute(view=view, times=times, is_finished=True)] if is_whole else []
    if outputs:
        _refuse_outputs(view, outputs, checks)
    for name in lacking:
        checks.refuse(name, f"the key column is missing; found {', '.join(names) or 'no columns'}")
    _misses_request(view, names, checks)
    inputs = _given_inputs(view, arguments, names, checks)
    return [] if checks.is_refused else [OnDemandRoute(view=view, times=times, is_finished=False, inputs=inputs)]


def _given_inputs(
    view: OnDemandViewNode, arguments: dict[str, tuple[FeatureRef, FieldNode]], names: Sequence[str], checks: Checks
) -> tuple[FieldNode, ...]:
    """Take the inputs of each source view from the frame, or none of them."""
    given: list[FieldNode] = []
    for row in dict.fromkeys((ref.view, ref.alias, ref.join_key_map) for ref, _ in arguments.values()):
        own = [item for ref, item in arguments.values() if (ref.view, ref.alias, ref.join_key_map) == row]
        missing = [item.name for item in own if item.name not in names]
        if missing and len(missing) < len(own):
            checks.refuse(
                ", ".join(missing),
                f"missing; a write to {view.name!r} has all inputs of view {row[0]!r} or none, which are then read "
                "from the online store. Give the rest (null where unknown), or leave all of them out",
            )
        given += [] if missing else own
    return tuple(given)


def _typed(snapshot: Snapshot, refs: dict[str, FeatureRef]) -> dict[str, tuple[FeatureRef, FieldNode]]:
    """Give each argument with its type in the version that is served; one that it lacks can only be read later."""
    typed: dict[str, tuple[FeatureRef, FieldNode]] = {}
    for name, ref in refs.items():
        served = {field.name: field for field in snapshot.current(ref.view)[0].features}
        if ref.feature in served:
            typed[name] = ref, FieldNode(name=name, dtype=served[ref.feature].dtype)
    return typed


def _misses_request(view: OnDemandViewNode, names: Sequence[str], checks: Checks) -> bool:
    missing = [field.name for field in view.request if field.name not in names]
    if missing:
        checks.refuse(
            ", ".join(missing),
            f"missing; the function of on-demand view {view.name!r} needs "
            f"{'it' if len(missing) == 1 else 'them'} when its features are written. Add the column, or write finished "
            "features with transform_on_write=False",
        )
    return bool(missing)


def _has_all(view: OnDemandViewNode, outputs: Sequence[str], lacking: Sequence[str], checks: Checks) -> bool:
    for name in lacking:
        checks.refuse(name, f"the key column of on-demand view {view.name!r} is missing")
    missing = [field.name for field in view.features if field.name not in outputs]
    if missing:
        checks.refuse(
            ", ".join(missing),
            f"missing; the features of {view.name!r} are stored as one value, so a write with transform_on_write=False "
            f"has all of them: found {', '.join(outputs) or 'none'}. Give the rest (null where unknown)",
        )
    return not missing and not lacking


def _refuse_outputs(view: OnDemandViewNode, outputs: Sequence[str], checks: Checks) -> None:
    for name in outputs:
        checks.refuse(
            name,
            f"is computed by the function of on-demand view {view.name!r}; leave it out, or write finished features "
            "with transform_on_write=False",
        )
