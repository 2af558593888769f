"""Column types: of sources, and of the features that views give."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar, assert_never

from featurestore.compile.aggregates import default_name, output_dtype
from featurestore.compile.catalog import AnyView, Catalog, items_of, selection_of
from featurestore.compile.report import Report
from featurestore.errors import FeatureStoreError
from featurestore.ir.columns import EVENT_TIMESTAMP, RESERVED
from featurestore.ir.nodes import (
    DeltaSourceNode,
    FieldNode,
    FileSourceNode,
    KafkaSourceNode,
    PushSourceNode,
    RequestSourceNode,
    SourceNode,
)
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import Timestamp
from featurestore.spec.entity import Entity, Field
from featurestore.spec.feature_view import (
    BatchFeatureView,
    OnDemandFeatureView,
    StreamFeatureView,
    ViewInput,
)
from featurestore.spec.prediction import PredictionView
from featurestore.spec.selection import FeatureSelection
from featurestore.spec.source import (
    DeltaSource,
    FileSource,
    KafkaSource,
    PushSource,
    RequestSource,
    Source,
)

__all__ = ["SchemaOf", "Schemas", "batch_source_of", "field_nodes", "inputs_of", "join_keys_of", "lower_sources"]

_Definition = TypeVar("_Definition")
SchemaOf: TypeAlias = Callable[[FileSourceNode | DeltaSourceNode], tuple[FieldNode, ...]]
"""Reads the columns of stored files or tables, by their stored names; the node's ``schema`` is empty still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schemas:
    """The types of columns and features; None wherever a problem keeps them from being known."""

    catalog: Catalog
    sources: dict[str, SourceNode]
    unsound: set[int] = field(default_factory=set)
    """Ids of definitions that have an option of the wrong type."""
    _features: dict[str, tuple[FieldNode, ...] | None] = field(default_factory=dict)

    def sound(self, definitions: dict[str, _Definition]) -> list[_Definition]:
        """Give the definitions whose options all have the right type, by name."""
        return [definitions[name] for name in sorted(definitions) if id(definitions[name]) not in self.unsound]

    def columns(self, entry: ViewInput) -> tuple[FieldNode, ...] | None:
        """Give the columns that a view can read from one of its inputs."""
        match entry:
            case FileSource() | DeltaSource() | PushSource() | KafkaSource() | RequestSource():
                source = batch_source_of(entry) or (entry if isinstance(entry, PushSource) else None)
                node = self.sources.get(source.name) if source else None
                return node.schema if node and (node.schema or not isinstance(node, PushSourceNode)) else None
            case _:
                selection = selection_of(entry)
                features = self.features(selection.view)
                if features is None:
                    return None
                chosen = [item for item in features if selection.names is None or item.name in selection.names]
                keys = [
                    replace(key, name=selection.join_key_map.get(key.name, key.name))
                    for key in _keys_of(selection.view)
                ]
                return (*keys, FieldNode(name=EVENT_TIMESTAMP, dtype=Timestamp), *chosen)

    def rows(self, view: BatchFeatureView) -> tuple[FieldNode, ...] | None:
        """Give the columns of the rows that a view takes or aggregates: its only input's, or its query's."""
        if view.aggregations and (view.sql or view.function):
            event_time = FieldNode(name=EVENT_TIMESTAMP, dtype=Timestamp)
            return (*join_keys_of(view.entities), event_time, *field_nodes(view.schema))
        inputs = inputs_of(view)
        return self.columns(inputs[0]) if len(inputs) == 1 and not (view.sql or view.function) else None

    def features(self, view: AnyView) -> tuple[FieldNode, ...] | None:
        """Give the features of a view, sorted by name: the layout of its rows depends on nothing else."""
        if view.name not in self._features:
            self._features[view.name] = None
            found = self._find(view)
            self._features[view.name] = None if found is None else tuple(sorted(found, key=lambda item: item.name))
        return self._features[view.name]

    def _find(self, view: AnyView) -> tuple[FieldNode, ...] | None:
        if id(view) in self.unsound:
            return None
        match view:
            case BatchFeatureView():
                return self._batch(view)
            case StreamFeatureView():
                return None
            case OnDemandFeatureView(schema=fields) | PredictionView(outputs=fields):
                return field_nodes(fields)
            case _:
                assert_never(view)

    def _batch(self, view: BatchFeatureView) -> tuple[FieldNode, ...] | None:
        inputs = inputs_of(view)
        if view.schema and not view.aggregations:
            return field_nodes(view.schema)
        columns = self.rows(view)
        if columns is None:
            return None
        types = {column.name: column.dtype for column in columns}
        if not view.aggregations:
            source = None if isinstance(inputs[0], FeatureSelection) else inputs[0]
            own = {*(key.name for key in join_keys_of(view.entities)), *RESERVED, *_timestamps(source)}
            return tuple(column for column in columns if column.name not in own)
        features = []
        for item in view.aggregations:
            known = item.function in set(AggregationFunction) and (item.column is None or item.column in types)
            column = types.get(item.column) if item.column else None
            given = output_dtype(AggregationFunction(item.function), column) if known else None
            dtype = item.dtype or given
            if dtype is None:
                return None
            features.append(FieldNode(name=item.name or default_name(item), dtype=dtype))
        return tuple(features)


def lower_sources(catalog: Catalog, schema_of: SchemaOf, report: Report) -> dict[str, SourceNode]:
    """Lower all sources; one whose schema cannot be read is reported and left out."""
    nodes: dict[str, SourceNode] = {}
    for name, source in catalog.sources.items():
        if id(source) in report.unsound:
            continue
        node = _lower_source(source, schema_of, report)
        if node is not None:
            nodes[name] = node
    for name, node in nodes.items():
        if isinstance(node, PushSourceNode | KafkaSourceNode) and not node.schema and node.batch_source in nodes:
            nodes[name] = replace(node, schema=nodes[node.batch_source].schema)
    return nodes


def _lower_source(source: Source, schema_of: SchemaOf, report: Report) -> SourceNode | None:
    match source:
        case FileSource():
            if source.format not in ("parquet", "csv", "json"):
                return None
            file = FileSourceNode(
                name=source.name,
                path=source.path,
                format=source.format,  # type: ignore[arg-type]
                timestamp_field=source.timestamp_field,
                created_timestamp_column=source.created_timestamp_column,
                schema=(),
                field_mapping=tuple(sorted(source.field_mapping.items())),
                ready=source.ready,
            )
            return _with_schema(file, source, schema_of, report)
        case DeltaSource():
            table = DeltaSourceNode(
                name=source.name,
                path=source.path,
                table=source.table,
                query=source.query,
                timestamp_field=source.timestamp_field,
                created_timestamp_column=source.created_timestamp_column,
                schema=(),
                field_mapping=tuple(sorted(source.field_mapping.items())),
                ready=source.ready,
            )
            return _with_schema(table, source, schema_of, report)
        case PushSource(name=name, batch_source=batch, schema=schema):
            return PushSourceNode(name=name, batch_source=batch.name if batch else None, schema=field_nodes(schema))
        case KafkaSource(batch_source=batch):
            return KafkaSourceNode(
                name=source.name,
                bootstrap_servers=source.bootstrap_servers,
                topic=source.topic,
                format=source.format,
                timestamp_field=source.timestamp_field,
                watermark=source.watermark,
                batch_source=batch.name if batch else None,
                schema=field_nodes(source.schema),
            )
        case RequestSource(name=name, schema=schema):
            return RequestSourceNode(name=name, schema=field_nodes(schema))
        case _:
            assert_never(source)


def _with_schema(
    node: FileSourceNode | DeltaSourceNode, source: FileSource | DeltaSource, schema_of: SchemaOf, report: Report
) -> FileSourceNode | DeltaSourceNode | None:
    if source.schema:
        columns = field_nodes(source.schema)
    elif isinstance(source, FileSource) and source.format != "parquet":
        report.add(source, f"a {source.format} source has no types of its own: give it schema=[Field(...), ...]")
        return None
    else:
        try:
            columns = schema_of(node)
        except (FeatureStoreError, OSError) as error:
            place = source.path or (source.table if isinstance(source, DeltaSource) else None)
            report.add(
                source,
                f"its columns cannot be read from {place!r}: {error}. "
                "Land the data first, or give schema=[Field(...), ...]",
            )
            return None
    mapping = dict(source.field_mapping)
    return replace(
        node, schema=tuple(replace(column, name=mapping.get(column.name, column.name)) for column in columns)
    )


def batch_source_of(entry: Source) -> FileSource | DeltaSource | None:
    """Find the source that holds the rows' history."""
    match entry:
        case FileSource() | DeltaSource():
            return entry
        case PushSource(batch_source=batch) | KafkaSource(batch_source=batch):
            return batch
        case RequestSource():
            return None
        case _:
            assert_never(entry)


def inputs_of(view: BatchFeatureView) -> tuple[ViewInput, ...]:
    """Give the inputs in order, whichever of ``source`` and ``sources`` names them."""
    return (*([view.source] if view.source is not None else []), *items_of(view.sources))


def join_keys_of(entities: Iterable[Entity]) -> tuple[FieldNode, ...]:
    """Give the join keys in order of entities, each once."""
    found = [entity for entity in items_of(entities) if isinstance(entity, Entity)]
    keys = {name: dtype for entity in found for name, dtype in zip(entity.join_keys, entity.dtypes, strict=False)}
    return tuple(FieldNode(name=name, dtype=dtype) for name, dtype in keys.items())


def field_nodes(fields: Iterable[Field]) -> tuple[FieldNode, ...]:
    return tuple(FieldNode(name=item.name, dtype=item.dtype) for item in fields)


def _keys_of(view: AnyView) -> tuple[FieldNode, ...]:
    return () if isinstance(view, OnDemandFeatureView) else join_keys_of(view.entities)


def _timestamps(source: object) -> tuple[str, ...]:
    if not isinstance(source, FileSource | DeltaSource | PushSource | KafkaSource):
        return ()
    batch = batch_source_of(source)
    names = [batch.timestamp_field, batch.created_timestamp_column] if batch else []
    return tuple(name for name in names if name)
