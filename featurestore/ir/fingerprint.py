"""Fingerprints: a hash over every field of a definition that affects its data, and over nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, assert_never

from featurestore.errors import StateError
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import (
    AggregationNode,
    Aggregations,
    CodeRef,
    DeltaSourceNode,
    EventQuery,
    FeatureRef,
    FieldNode,
    FileSourceNode,
    FunctionTransformation,
    InputNode,
    KafkaSourceNode,
    ModelFileNode,
    ModelLoad,
    ModelNode,
    ModelOutputNode,
    ModelServerNode,
    OnDemandViewNode,
    Passthrough,
    PredictionViewNode,
    PushSourceNode,
    RequestSourceNode,
    SourceInput,
    SqlTransformation,
    ViewInputNode,
    ViewNode,
)
from featurestore.ir.schedule import CronSchedule, PeriodSchedule
from featurestore.ir.serialize import encode_node

__all__ = ["DATA_FIELDS", "OTHER_FIELDS", "Fingerprinted", "fingerprint", "read_columns"]

Fingerprinted: TypeAlias = ViewNode | OnDemandViewNode | PredictionViewNode

_STAMPS = ("fingerprint", "version", "storage_id")
_TEXTS = ("owner", "tags", "description")

DATA_FIELDS: Mapping[type, tuple[str, ...]] = {
    FieldNode: ("name", "dtype"),
    CodeRef: ("path", "digest"),
    FileSourceNode: ("path", "format", "timestamp_field", "created_timestamp_column", "schema", "field_mapping"),
    DeltaSourceNode: (
        "path",
        "table",
        "query",
        "timestamp_field",
        "created_timestamp_column",
        "schema",
        "field_mapping",
    ),
    PushSourceNode: ("batch_source", "schema"),
    KafkaSourceNode: ("bootstrap_servers", "topic", "format", "timestamp_field", "batch_source", "schema"),
    RequestSourceNode: ("schema",),
    SourceInput: ("source",),
    ViewInputNode: ("view", "features", "alias", "join_key_map"),
    Passthrough: (),
    SqlTransformation: ("text", "per", "lookback"),
    FunctionTransformation: ("code", "per", "lookback"),
    AggregationNode: ("name", "function", "column", "window", "where", "k", "percentile", "limit", "dtype"),
    EventQuery: ("transformation", "columns"),
    Aggregations: ("items", "events"),
    CronSchedule: ("expression",),
    PeriodSchedule: ("period",),
    ViewNode: ("join_keys", "inputs", "transformation", "features", "schedule", "data_delay"),
    FeatureRef: ("view", "feature", "alias", "join_key_map"),
    OnDemandViewNode: ("inputs", "request", "features", "code", "mode", "join_keys"),
    ModelOutputNode: ("feature", "name", "column"),
    ModelFileNode: ("digest", "format", "method", "inputs", "outputs"),
    ModelServerNode: ("inputs", "outputs"),
    ModelNode: ("name", "version", "load", "files"),
    PredictionViewNode: ("join_keys", "inputs", "request", "model", "features", "where"),
}
"""The fields that say which values a view has. A view's ``schedule`` counts only where values depend on the grid; a
source's ``schema`` and ``field_mapping`` only for the columns that are read; an on-demand view's ``join_keys`` only
where its ``entities`` are named, else its inputs say them; names of sources and views stand for the sources and
fingerprints that they name."""

OTHER_FIELDS: Mapping[type, tuple[str, ...]] = {
    FileSourceNode: ("name", "ready"),
    DeltaSourceNode: ("name", "ready"),
    PushSourceNode: ("name",),
    KafkaSourceNode: ("name", "watermark"),
    RequestSourceNode: ("name",),
    ViewNode: (
        *("name", "entities", "start", "ttl", "online", "late_data", "on_expired", "freshness", "expectations"),
        *("engine", "push_sources", *_TEXTS, *_STAMPS),
    ),
    OnDemandViewNode: ("name", "write_to_online_store", "entities", *_TEXTS, *_STAMPS),
    ModelFileNode: ("path",),
    ModelServerNode: ("url", "timeout"),
    PredictionViewNode: (
        *("name", "entities", "start", "schedule", "max_age", "on_stale", "on_failure", "refresh", "stale_on"),
        *("input_grace", "require_features", "attach_to", "data_delay", "expectations", "freshness"),
        *("refresh_ahead", "shadow", "shadow_fraction"),
        *(*_TEXTS, *_STAMPS),
    ),
}
"""The fields that change when, how or whether values are computed and served, but not the values."""


def fingerprint(node: Fingerprinted, manifest: Manifest) -> str:
    """Hash the node; ``manifest`` has its sources, and the fingerprinted views that it reads.

    The order of features, aggregations and SQL inputs does not count; that of join keys, of a function's inputs and
    of a model's inputs does.
    """
    match node:
        case ViewNode():
            identity = _view(node, manifest)
        case OnDemandViewNode():
            identity = _reads(node, manifest)
        case PredictionViewNode():
            identity = _reads(node, manifest)
        case _:
            assert_never(node)
    text = json.dumps([type(node).__name__, identity], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_columns(view: ViewNode, source: FileSourceNode | DeltaSourceNode) -> frozenset[str]:
    """Name the source's columns that the view may read: all of them where that cannot be known."""
    every = frozenset(column.name for column in source.schema)
    needed = {*(key.name for key in view.join_keys), source.timestamp_field, source.created_timestamp_column}
    match view.transformation:
        case Passthrough():
            needed |= {feature.name for feature in view.features}
        case Aggregations(items=items, events=None):
            needed |= {item.column for item in items} | _words(" ".join(item.where or "" for item in items))
        case (
            SqlTransformation(text=text) | Aggregations(events=EventQuery(transformation=SqlTransformation(text=text)))
        ):
            needed |= every if "*" in re.sub(r"(?i)count\(\s*\*\s*\)", "", text) else _words(text)
        case FunctionTransformation() | Aggregations():
            needed |= every
        case _:
            assert_never(view.transformation)
    folded = {name.casefold() for name in needed if name is not None}
    return frozenset(name for name in every if name.casefold() in folded)


def _view(view: ViewNode, manifest: Manifest) -> dict[str, Any]:
    identity = _encode(view, skip=("inputs", "transformation", "features", "schedule"))
    inputs = [_input(entry, view, manifest) for entry in view.inputs]
    identity["features"] = _unordered(_encode_all(view.features))
    transformation: dict[str, Any]
    match view.transformation:
        case Aggregations(items=items, events=query):
            transformation, depends_on_grid = {"items": _unordered(_encode_all(items))}, True
            if query is not None:
                transformation["events"] = _user_code(query.transformation)
                transformation["columns"] = _unordered(_encode_all(query.columns))
        case Passthrough():
            transformation, depends_on_grid = {}, False
        case SqlTransformation(per=per, lookback=lookback) | FunctionTransformation(per=per, lookback=lookback):
            transformation = _user_code(view.transformation)
            depends_on_grid = per == "step" or lookback is not None
        case _:
            assert_never(view.transformation)
    if isinstance(view.user_code, SqlTransformation):
        inputs = _unordered(inputs)
    identity["transformation"] = {"kind": type(view.transformation).__name__, **transformation}
    identity["inputs"] = inputs
    identity["schedule"] = encode_node(view.schedule) if depends_on_grid else None
    return identity


def _user_code(code: SqlTransformation | FunctionTransformation) -> dict[str, Any]:
    match code:
        case SqlTransformation(text=text):
            return {**_encode(code, skip=("text",)), "text": _layout_free(text)}
        case FunctionTransformation(code=function):
            return {**_encode(code, skip=("code",)), "code": _encode(function)}
        case _:
            assert_never(code)


def _input(entry: InputNode, view: ViewNode, manifest: Manifest) -> dict[str, Any]:
    placeholder: dict[str, Any] = {}
    match entry:
        case SourceInput(source=name):
            if isinstance(view.user_code, SqlTransformation):
                placeholder = {"placeholder": name}
            return {**_source(name, view, manifest), **placeholder}
        case ViewInputNode(view=name, features=features, alias=alias, join_key_map=join_key_map):
            if isinstance(view.user_code, SqlTransformation):
                placeholder = {"placeholder": alias}
            parent = _fingerprint_of(name, manifest)
            return {"view": parent, "features": sorted(features), "keys": encode_node(join_key_map), **placeholder}
        case _:
            assert_never(entry)


def _source(name: str, view: ViewNode, manifest: Manifest) -> dict[str, Any]:
    source = manifest.sources[name]
    match source:
        case FileSourceNode() | DeltaSourceNode():
            columns = read_columns(view, source)
            used = replace(
                source,
                schema=tuple(sorted((c for c in source.schema if c.name in columns), key=lambda column: column.name)),
                field_mapping=tuple(sorted(pair for pair in source.field_mapping if pair[1] in columns)),
            )
            identity = _encode(used)
        case PushSourceNode() | KafkaSourceNode():
            identity = _encode(source, skip=("batch_source",))
            batch = source.batch_source
            identity["batch_source"] = None if batch is None else _source(batch, view, manifest)
        case RequestSourceNode():
            identity = _encode(source)
        case _:
            assert_never(source)
    return {"kind": type(source).__name__, **identity}


def _reads(node: OnDemandViewNode | PredictionViewNode, manifest: Manifest) -> dict[str, Any]:
    skipped = () if isinstance(node, PredictionViewNode) or node.entities else ("join_keys",)
    identity = _encode(node, skip=("inputs", "features", "where", *skipped))
    if isinstance(node, PredictionViewNode):
        if node.where is not None:
            identity["where"] = _layout_free(node.where)
        files = sorted(encode_node(node.model.files))
        identity["model"] = {
            **_encode(node.model, skip=("load", "files")),
            "load": _model_load(node.model.load),
            "files": files,
        }
    identity["features"] = _unordered(_encode_all(node.features))
    identity["inputs"] = [{**_encode(ref), "view": _fingerprint_of(ref.view, manifest)} for ref in node.inputs]
    return identity


def _model_load(load: ModelLoad) -> dict[str, Any]:
    match load:
        case CodeRef():
            return _encode(load)
        case ModelFileNode():
            return {"kind": "model_file", **_encode(load)}
        case ModelServerNode():
            return {"kind": "model_server", **_encode(load)}
        case _:
            assert_never(load)


def _fingerprint_of(name: str, manifest: Manifest) -> str:
    found = manifest.views.get(name) or manifest.on_demand_views.get(name) or manifest.prediction_views.get(name)
    if found is None or not found.fingerprint:
        raise StateError(
            f"view {name!r} has no fingerprint yet; views are fingerprinted after those they read", view=name
        )
    return found.fingerprint


def _encode(node: Any, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    return {name: encode_node(getattr(node, name)) for name in DATA_FIELDS[type(node)] if name not in skip}


def _encode_all(nodes: Iterable[Any]) -> list[dict[str, Any]]:
    return [_encode(node) for node in nodes]


def _unordered(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def _layout_free(sql: str) -> str:
    """Take runs of white space outside quotes for one space; with line comments the layout has a meaning."""
    if "--" in sql:
        return sql
    parts = re.split(r"""('[^']*'|"[^"]*"|`[^`]*`)""", sql)
    return "".join(part if position % 2 else re.sub(r"\s+", " ", part) for position, part in enumerate(parts)).strip()


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))
