"""Small records beside the rows: the project's pointer, and a view version's publication marker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from featurestore.errors import StateError

__all__ = ["Marker", "Pointer", "VersionRef", "ViewPointer"]

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRef:
    """A version of a view and the storage id its rows lie under; for a warm one, in which stretch its rows held."""

    version: int
    storage_id: int
    covered_until_us: int | None = None
    covered_from_us: int | None = None
    earlier_us: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPointer:
    """Which version of a view is served; 0 for both numbers while its first publication is still running.

    ``covered_until_us`` is up to when rows that hold are known to hold; None for a view without schedule. It ends the
    covered stretch that begins at ``covered_from_us`` (None: from the first row on): a row of an earlier stretch does
    not hold across the hole. ``earlier_us`` has the (start, end) of those stretches, as far back as it matters: their
    rows hold until their end.
    ``pending_since_us``, on a prediction view: since when changed inputs are published whose scoring is not yet.
    ``building`` gets writes but no reads yet; ``warm`` versions may be rolled back to. ``held_back`` is the storage id
    of a version that was rolled back from: its publications do not make it served again.
    """

    version: int
    storage_id: int
    covered_until_us: int | None = None
    covered_from_us: int | None = None
    earlier_us: tuple[tuple[int, int], ...] = ()
    building: VersionRef | None = None
    warm: tuple[VersionRef, ...] = ()
    pending_since_us: int | None = None
    held_back: int | None = None

    @property
    def ref(self) -> VersionRef:
        """The served version, as it stands in the list of warm ones after a switch."""
        return VersionRef(
            version=self.version,
            storage_id=self.storage_id,
            covered_until_us=self.covered_until_us,
            covered_from_us=self.covered_from_us,
            earlier_us=self.earlier_us,
        )

    def live(self) -> tuple[VersionRef, ...]:
        """All versions that get accepted writes, the served one first."""
        return (self.ref, *([self.building] if self.building else []), *self.warm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """The one record a lookup checks: equal bytes, equal plan. ``generation`` is the manifest's."""

    project: str
    project_id: int
    generation: int
    views: Mapping[str, ViewPointer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", MappingProxyType(dict(self.views)))

    def __reduce__(self) -> tuple[object, ...]:
        return (Pointer.from_bytes, (self.to_bytes(),))

    def with_view(self, name: str, view: ViewPointer | None) -> Pointer:
        """Give the pointer with one view replaced, or taken out by None."""
        views = {key: value for key, value in self.views.items() if key != name}
        return replace(self, views=views if view is None else {**views, name: view})

    def to_bytes(self) -> bytes:
        """Write canonical JSON: equal pointers are equal bytes."""
        return _dump(
            {
                "format": _FORMAT,
                "project": self.project,
                "project_id": self.project_id,
                "generation": self.generation,
                "views": {name: _view_to_json(view) for name, view in self.views.items()},
            }
        )

    @classmethod
    def from_bytes(cls, record: bytes) -> Pointer:
        content = _load(record, "pointer")
        return cls(
            project=content["project"],
            project_id=content["project_id"],
            generation=content["generation"],
            views={name: _view_from_json(view) for name, view in content["views"].items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Up to which Delta version a view version's rows are in Redis. Lost with them, so a loss is noticed.

    ``life_ms`` is how long after its event time a row is kept by its physical expiry, at least (0: for ever, None: not
    said): where a longer ttl is applied, expiries are to be extended.
    """

    delta_version: int
    covered_until_us: int | None = None
    life_ms: int | None = None

    def to_bytes(self) -> bytes:
        content = {"format": _FORMAT, "delta": self.delta_version, "covered": self.covered_until_us}
        return _dump(content if self.life_ms is None else {**content, "life": self.life_ms})

    def is_outlived_by(self, life_ms: int) -> bool:
        """Say whether rows may now have to stay longer than their expiry lets them."""
        return bool(self.life_ms) and (life_ms == 0 or life_ms > (self.life_ms or 0))

    @classmethod
    def from_bytes(cls, record: bytes) -> Marker:
        content = _load(record, "publication marker")
        return cls(delta_version=content["delta"], covered_until_us=content["covered"], life_ms=content.get("life"))


def _view_to_json(view: ViewPointer) -> dict[str, Any]:
    content: dict[str, Any] = {"version": view.version, "storage_id": view.storage_id}
    if view.covered_until_us is not None:
        content["covered"] = view.covered_until_us
    if view.covered_from_us is not None:
        content["covered_from"] = view.covered_from_us
    if view.earlier_us:
        content["earlier"] = view.earlier_us
    if view.building is not None:
        content["building"] = [view.building.version, view.building.storage_id]
    if view.pending_since_us is not None:
        content["pending"] = view.pending_since_us
    if view.warm:
        content["warm"] = [_ref_to_json(ref) for ref in view.warm]
    if view.held_back is not None:
        content["held_back"] = view.held_back
    return content


def _view_from_json(content: Mapping[str, Any]) -> ViewPointer:
    building = content.get("building")
    return ViewPointer(
        version=content["version"],
        storage_id=content["storage_id"],
        covered_until_us=content.get("covered"),
        covered_from_us=content.get("covered_from"),
        earlier_us=_pairs(content.get("earlier", ())),
        building=None if building is None else _ref(building),
        warm=tuple(_ref(pair) for pair in content.get("warm", ())),
        pending_since_us=content.get("pending"),
        held_back=content.get("held_back"),
    )


def _ref(parts: list[Any]) -> VersionRef:
    until, start, earlier = (parts[2:] + [None, None, ()][len(parts) - 2 :])[:3]
    return VersionRef(
        version=parts[0],
        storage_id=parts[1],
        covered_until_us=until,
        covered_from_us=start,
        earlier_us=_pairs(earlier),
    )


def _ref_to_json(ref: VersionRef) -> list[Any]:
    covered = [ref.covered_until_us, ref.covered_from_us]
    earlier = [ref.earlier_us] if ref.earlier_us else []
    return [ref.version, ref.storage_id, *(covered if covered != [None, None] else []), *earlier]


def _pairs(stretches: Iterable[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((start, end) for start, end in stretches)


def _dump(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _load(record: bytes, what: str) -> dict[str, Any]:
    try:
        content = json.loads(record)
        found = content["format"]
    except (ValueError, KeyError, TypeError):
        raise StateError(
            f"the {what} in the online store is not readable: found {record[:60]!r}; publish again"
        ) from None
    if found != _FORMAT:
        raise StateError(
            f"the {what} in the online store has format {found}, valid is {_FORMAT}; "
            "it was written by a newer release: upgrade this process"
        )
    return dict(content)
