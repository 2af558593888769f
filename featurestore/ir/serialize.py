"""The manifest's canonical JSON: sorted keys, unions tagged by ``kind``, durations in µs, instants in ISO 8601."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

from featurestore.errors import StateError
from featurestore.intervals import parse_instant, show_instant
from featurestore.ir import nodes, schedule
from featurestore.ir.manifest import MANIFEST_FORMAT, Manifest
from featurestore.spec import source
from featurestore.spec.dtypes import DType, parse_dtype, show_dtype

__all__ = ["KINDS", "decode_node", "encode_node", "manifest_from_json", "manifest_to_json"]

KINDS: Mapping[type, str] = {
    nodes.FileSourceNode: "file",
    nodes.DeltaSourceNode: "delta",
    nodes.PushSourceNode: "push",
    nodes.KafkaSourceNode: "kafka",
    nodes.RequestSourceNode: "request",
    nodes.SourceInput: "source",
    nodes.ViewInputNode: "view",
    nodes.Passthrough: "passthrough",
    nodes.SqlTransformation: "sql",
    nodes.FunctionTransformation: "function",
    nodes.Aggregations: "aggregations",
    nodes.ModelFileNode: "model_file",
    nodes.ModelServerNode: "model_server",
    schedule.CronSchedule: "cron",
    schedule.PeriodSchedule: "period",
    source.After: "after",
    source.Watermark: "watermark",
    source.Marker: "marker",
}
"""The members of unions, by the tag that tells them apart in JSON; tags are stored state and never change. One member
of a union may have none: it is what an object without a tag is."""

_MICROSECOND = timedelta(microseconds=1)
_DTYPES = frozenset(get_args(DType))
_Node = TypeVar("_Node")


def manifest_to_json(manifest: Manifest) -> str:
    """Write the manifest; equal manifests give equal text."""
    document = {"format": MANIFEST_FORMAT, **encode_node(manifest)}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def manifest_from_json(text: str) -> Manifest:
    """Read what ``manifest_to_json`` wrote; StateError says why the text is no manifest of this format."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise StateError(f"the manifest is not JSON: {error}; run `featurestore apply` to write it anew") from error
    found = document.pop("format", None) if isinstance(document, dict) else None
    if found != MANIFEST_FORMAT:
        raise StateError(
            f"the manifest has format {found!r}; this release reads format {MANIFEST_FORMAT}: "
            "run `featurestore apply` with this release, or use the release that wrote it",
            found=found,
            valid=MANIFEST_FORMAT,
        )
    return decode_node(Manifest, document)


def encode_node(value: Any) -> Any:
    """Turn a node (or a value in one) into plain JSON values."""
    if type(value) in _DTYPES:
        return show_dtype(value)
    if dataclasses.is_dataclass(value):
        fields = {field.name: encode_node(getattr(value, field.name)) for field in dataclasses.fields(value)}
        kind = KINDS.get(type(value))
        return fields if kind is None else {"kind": kind, **fields}
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case timedelta():
            return value // _MICROSECOND
        case datetime():
            return show_instant(value)
        case Mapping():
            return {key: encode_node(item) for key, item in value.items()}
        case tuple():
            return [encode_node(item) for item in value]
    raise TypeError(f"a manifest cannot hold {value!r} of type {type(value).__name__}")


def decode_node(kind: type[_Node], value: Any) -> _Node:
    """Make the node again that ``encode_node`` wrote; StateError names the place that does not fit."""
    return cast(_Node, _decode(kind, value, kind.__name__))


def _decode(annotation: Any, value: Any, where: str) -> Any:
    origin = get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(get_args(annotation), value, where)
    if origin is Literal:
        return _check(
            value in get_args(annotation), value, f"one of {', '.join(map(str, get_args(annotation)))}", where
        )
    if origin is tuple:
        _check(isinstance(value, list), value, "a list", where)
        arguments = get_args(annotation)
        items = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        _check(len(items) == len(value), value, f"{len(items)} items", where)
        pairs = enumerate(zip(items, value, strict=True))
        return tuple(_decode(item, entry, f"{where}[{position}]") for position, (item, entry) in pairs)
    if origin is not None and issubclass(origin, Mapping):
        _check(isinstance(value, dict), value, "an object", where)
        return {key: _decode(get_args(annotation)[1], entry, f"{where}.{key}") for key, entry in value.items()}
    if dataclasses.is_dataclass(annotation):
        return _decode_dataclass(cast(type, annotation), value, where)
    if annotation is timedelta:
        return _check(type(value) is int, value, "a whole number of µs", where) * _MICROSECOND
    if annotation is datetime:
        return parse_instant(_check(isinstance(value, str), value, "an ISO 8601 instant", where))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        valid = [member.value for member in annotation]
        return annotation(_check(value in valid, value, f"one of {', '.join(map(str, valid))}", where))
    if annotation is float and type(value) is int:
        return float(value)
    return _check(type(value) is annotation, value, annotation.__name__, where)


def _decode_union(members: tuple[Any, ...], value: Any, where: str) -> Any:
    if set(members) >= _DTYPES and isinstance(value, str):
        return parse_dtype(value)
    if value is None and type(None) in members:
        return None
    rest = [member for member in members if member is not type(None)]
    if len(rest) == 1:
        return _decode(rest[0], value, where)
    found = value.get("kind") if isinstance(value, dict) else None
    untagged = [member for member in rest if member not in KINDS]
    if found is None and len(untagged) == 1:
        return _decode(untagged[0], value, where)
    for member in rest:
        if found is not None and KINDS.get(member) == found:
            return _decode_dataclass(member, {key: value[key] for key in value if key != "kind"}, where)
    valid = ", ".join(sorted(KINDS[member] for member in rest if member in KINDS))
    return _check(False, found if isinstance(value, dict) else value, f"an object of kind {valid}", where)


def _decode_dataclass(kind: type, value: Any, where: str) -> Any:
    _check(isinstance(value, dict), value, "an object", where)
    annotations = _annotations(kind)
    unknown = sorted(set(value) - set(annotations))
    _check(not unknown, ", ".join(unknown), f"the fields {', '.join(annotations)}", where)
    required = {field.name for field in dataclasses.fields(kind) if _is_required(field)}
    missing = sorted(required - set(value))
    _check(not missing, f"no {', '.join(missing)}", f"the fields {', '.join(annotations)}", where)
    return kind(**{name: _decode(annotations[name], entry, f"{where}.{name}") for name, entry in value.items()})


@functools.cache
def _annotations(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _check(is_valid: bool, found: Any, valid: str, where: str) -> Any:
    if not is_valid:
        raise StateError(
            f"the manifest does not fit this release at {where}: found {found!r}; valid is {valid}. "
            "Run `featurestore apply` to write it anew",
            where=where,
        )
    return found
