"""Rollback: make a version of a view served again that is still warm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from featurestore.codec.keys import marker_key, nodes_key
from featurestore.codec.pointer import Pointer, VersionRef, ViewPointer
from featurestore.errors import FeatureNotFound, StateError
from featurestore.intervals import from_micros, show_duration, show_instant
from featurestore.ir.older import older_from_json
from featurestore.retrieval.refs import suggest
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.pointer import read_pointer, serving, update_pointer

__all__ = ["RollbackResult", "rollback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackResult:
    """``covered_until`` is up to when the served version's rows hold; it is ``behind`` that of the version left."""

    view: str
    left: int
    served: int
    covered_until: datetime | None = None
    behind: timedelta | None = None

    @property
    def is_stale(self) -> bool:
        """Say whether readers now see older steps than before."""
        return bool(self.behind)

    def __str__(self) -> str:
        staleness = f", {show_duration(self.behind)} behind version {self.left}" if self.behind else ""
        until = "" if self.covered_until is None else f", covered until {show_instant(self.covered_until)}"
        return f"{self.view}: version {self.served} is served again{until}{staleness}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "view": self.view,
            "left": self.left,
            "served": self.served,
            "covered_until": None if self.covered_until is None else show_instant(self.covered_until),
            "behind_seconds": None if self.behind is None else self.behind.total_seconds(),
        }


def rollback(context: RuntimeContext, name: str, version: int | None = None) -> RollbackResult:
    """Serve a warm version of a view again: the one served last, or the given one; say how stale it is.

    The version that is left stays warm and gets accepted writes. Its publications go on and do not make it served:
    that is done by another rollback, or by applying other definitions. Steps are computed for the applied definitions
    only, so the version rolled back to grows older with each step. StateError where no such version is warm.
    """
    pointer = read_pointer(context)
    old = None if pointer is None else pointer.views.get(name)
    if name in context.manifest.on_demand_views:
        raise StateError(
            f"{name}: an on-demand view is computed by the applied function, and what was written of it holds for that "
            "only; apply the older definitions, or roll back the views that it reads",
            view=name,
        )
    if pointer is None or old is None:
        hint = suggest(name, pointer.views if pointer else ())
        raise FeatureNotFound(f"view {name!r} is not served online: {hint}", view=name)
    ref = _warm(name, old, version)
    _check_readable(context, pointer, name, ref)
    most = context.settings.publish.warm_versions

    def change(found: Pointer) -> Pointer:
        entry = found.views.get(name)
        if entry is None or entry.storage_id != old.storage_id or ref not in entry.warm:
            raise StateError(f"{name}: its versions changed meanwhile; look at `featurestore status` and try again")
        is_forward = context.manifest.stored_view(name).storage_id == ref.storage_id
        held_back = None if is_forward else entry.storage_id
        turned = replace(serving(ref, entry, max(most, 1)), building=entry.building, held_back=held_back)
        return found.with_view(name, turned)

    update_pointer(context, change)
    until = ref.covered_until_us
    behind = None if until is None or old.covered_until_us is None else old.covered_until_us - until
    return RollbackResult(
        view=name,
        left=old.version,
        served=ref.version,
        covered_until=None if until is None else from_micros(until),
        behind=None if behind is None else timedelta(microseconds=behind),
    )


def _warm(name: str, old: ViewPointer, version: int | None) -> VersionRef:
    found = next((ref for ref in old.warm if version in (None, ref.version)), None)
    if found is None:
        wanted = "no older version is" if version is None else f"version {version} is not"
        warm = ", ".join(str(ref.version) for ref in old.warm) or "none"
        raise StateError(
            f"{name}: {wanted} warm; version {old.version} is served, warm: {warm}. Apply the older definitions: "
            "their version gets its number back, and its table if `gc` did not free it",
            view=name,
        )
    return found


def _check_readable(context: RuntimeContext, pointer: Pointer, name: str, ref: VersionRef) -> None:
    """Refuse a version whose definition or rows are gone from the online store."""
    marker, stored = context.online.read(
        [marker_key(pointer.project_id, ref.storage_id), nodes_key(context.settings.project)]
    )
    node = None if stored is None else older_from_json(stored.decode()).get((name, ref.version))
    manifest = context.manifest.stored_view(name)
    node = manifest if manifest.version == ref.version else node
    if node is None or (marker is None and ref.covered_until_us is not None):
        lost = "definition" if node is None else "publication"
        raise StateError(
            f"{name}: version {ref.version} is warm, but its {lost} is gone from the online store; apply the older "
            "definitions and publish them",
            view=name,
            version=ref.version,
        )
