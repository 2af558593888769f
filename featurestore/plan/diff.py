"""What two manifests differ in, object by object and field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from featurestore.intervals import show_duration
from featurestore.ir.fingerprint import DATA_FIELDS
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import PredictionViewNode, ViewNode
from featurestore.ir.serialize import KINDS, encode_node
from featurestore.spec.dtypes import DType

__all__ = ["Change", "ChangeKind", "FieldChange", "diff_manifests"]

_ABSENT = object()
_STAMPS = frozenset({"fingerprint", "version", "storage_id"})
_KINDS: tuple[tuple[str, str], ...] = (
    ("entity", "entities"),
    ("source", "sources"),
    ("feature view", "views"),
    ("on-demand view", "on_demand_views"),
    ("prediction view", "prediction_views"),
    ("service", "services"),
    ("permission", "permissions"),
)


class ChangeKind(StrEnum):
    CREATED = "created"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field, by its path in the node, such as ``features[ctr].dtype``; None where it is absent on one side."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One object that differs.

    ``affects_data``: the view's values are others than before, so it gets a new version and is computed anew; of a
    source or entity it says that views that use the changed fields do. A view that changed without a changed field
    reads something that did.
    """

    kind: ChangeKind
    object: str
    name: str
    affects_data: bool
    fields: tuple[FieldChange, ...] = ()


def diff_manifests(old: Manifest | None, new: Manifest) -> tuple[Change, ...]:
    """Compare objects by kind and name; ``old`` None means that nothing was applied yet.

    A renamed object is one that was removed and one that was created.
    """
    before = old or Manifest(project=new.project)
    return tuple(
        change
        for kind, attribute in _KINDS
        for change in _changes(kind, getattr(before, attribute), getattr(new, attribute))
    )


def _changes(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if name not in before:
            yield Change(kind=ChangeKind.CREATED, object=kind, name=name, affects_data=_holds_data(after[name]))
        elif name not in after:
            yield Change(kind=ChangeKind.REMOVED, object=kind, name=name, affects_data=_holds_data(before[name]))
        else:
            change = _change(kind, name, before[name], after[name])
            if change is not None:
                yield change


def _change(kind: str, name: str, before: Any, after: Any) -> Change | None:
    changed = tuple(_field_changes(before, after))
    if hasattr(after, "fingerprint"):
        affects_data = before.fingerprint != after.fingerprint
    else:
        relevant = DATA_FIELDS.get(type(after), ("keys",))
        affects_data = any(_root(field.path) in relevant for field in changed)
    if not changed and not affects_data:
        return None
    return Change(kind=ChangeKind.CHANGED, object=kind, name=name, affects_data=affects_data, fields=changed)


def _field_changes(before: Any, after: Any) -> Iterator[FieldChange]:
    old, new = (dict(_flatten("", node)) for node in (before, after))
    for path in dict.fromkeys([*old, *new]):
        if _root(path) not in _STAMPS and old.get(path, _ABSENT) != new.get(path, _ABSENT):
            yield FieldChange(path=path, before=_text(old.get(path, _ABSENT)), after=_text(new.get(path, _ABSENT)))


def _flatten(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Give the leaves of a node by path; members of a tuple go by their ``name`` where they have one."""
    if is_dataclass(value) and not isinstance(value, DType):
        if path and type(value) in KINDS:
            yield f"{path}.kind", KINDS[type(value)]
        for field in fields(value):
            yield from _flatten(f"{path}.{field.name}" if path else field.name, getattr(value, field.name))
    elif isinstance(value, tuple) and value and all(hasattr(item, "name") and is_dataclass(item) for item in value):
        for item in value:
            yield from _flatten(f"{path}[{item.name}]", item)
    else:
        yield path, value


def _text(value: Any) -> str | None:
    if value is _ABSENT:
        return None
    if isinstance(value, timedelta):
        return show_duration(value)
    encoded = encode_node(value)
    return encoded if isinstance(encoded, str) else json.dumps(encoded, ensure_ascii=False)


def _root(path: str) -> str:
    return path.split(".")[0].split("[")[0]


def _holds_data(node: Any) -> bool:
    return isinstance(node, ViewNode | PredictionViewNode)
