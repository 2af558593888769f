"""On-demand views with ``write_to_online_store``: what they are stored by, and names that a write must tell apart."""

from __future__ import annotations

from collections.abc import Iterator

from featurestore.compile.catalog import items_of, selection_of
from featurestore.compile.report import Report
from featurestore.compile.schemas import Schemas, join_keys_of
from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import show_dtype
from featurestore.spec.feature_view import BatchFeatureView, OnDemandFeatureView
from featurestore.spec.selection import FeatureSelection
from featurestore.spec.source import RequestSource

__all__ = ["check_written_view", "written_keys"]


def written_keys(view: OnDemandFeatureView) -> tuple[FieldNode, ...]:
    """Give the join keys of the view's stored rows: of its entities where it names them, else of all it reads."""
    if not view.write_to_online_store:
        return ()
    if view.entities:
        return join_keys_of(view.entities)
    return tuple({key.name: key for key, _ in _input_keys(view)}.values())


def check_written_view(view: OnDemandFeatureView, schemas: Schemas, report: Report) -> None:
    """Check what only concerns views that are written."""
    if not view.write_to_online_store:
        if view.entities:
            report.add(view, "has entities=, which only say what written features are stored by; leave them out")
        return
    keys = {key.name: key for key in written_keys(view)}
    if not keys:
        report.add(
            view,
            "has write_to_online_store=True and nothing that its features could be stored by; "
            "read a feature view, or name entities=[...]",
        )
    for key, owner in _input_keys(view):
        own = keys.get(key.name)
        if own is None:
            report.add(
                view,
                f"reads view {owner!r} by join key {key.name!r}, which is none of its own: {', '.join(keys)}; "
                "add the entity to entities=, or leave entities= out",
            )
        elif own.dtype != key.dtype:
            report.add(
                view,
                f"join key {key.name!r} is {show_dtype(key.dtype)} in view {owner!r} and {show_dtype(own.dtype)} in "
                "another; rename one by with_join_key_map(...)",
            )
    for selection in _selections(view):
        source = selection.view
        if isinstance(source, BatchFeatureView) and not source.online:
            report.add(
                view, f"has write_to_online_store=True and reads view {source.name!r}, which has online=False; set it"
            )
    _check_names(view, schemas, report)


def _check_names(view: OnDemandFeatureView, schemas: Schemas, report: Report) -> None:
    """Refuse names that would stand for two columns of one written frame."""
    taken = {key.name: "a join key" for key in written_keys(view)}
    for selection in _selections(view):
        source = selection.view
        for key in join_keys_of(source.entities) if isinstance(source, BatchFeatureView) else ():
            taken.setdefault(key.name, f"a join key of view {source.name!r}")
        for feature in schemas.features(source) or ():
            taken.setdefault(feature.name, f"a feature of view {source.name!r}")
        for other in schemas.sound(schemas.catalog.prediction_views):
            if other.attach_to is source:
                for name in (other.name, *(item.name for item in other.outputs)):
                    taken.setdefault(name, f"what prediction view {other.name!r} is written by")
    requested = [item.name for entry in view.sources if isinstance(entry, RequestSource) for item in entry.schema]
    outputs = [item.name for item in view.schema]
    for what, names in (("request field", requested), ("feature", outputs)):
        for name in names:
            if name in taken:
                report.add(
                    view,
                    f"{what} {name!r} has the name of {taken[name]}; both are columns of the frames that are written "
                    "with write_to_online_store=True: rename one of them",
                )
            taken.setdefault(name, f"a {what} of its own")
    for name, twin in _twins(view, schemas):
        report.add(
            view,
            f"feature {name!r} is also one of {twin.name!r}, which is written beside it; both are columns of the "
            "frames that are written with write_to_online_store=True: rename one of them",
        )


def _twins(view: OnDemandFeatureView, schemas: Schemas) -> Iterator[tuple[str, OnDemandFeatureView]]:
    """Name the features that another written view which reads a view in common has too."""
    sources = {selection.view.name for selection in _selections(view)}
    names = {item.name for item in view.schema}
    for other in schemas.sound(schemas.catalog.on_demand_views):
        if not other.write_to_online_store or other.name >= view.name:
            continue
        if sources & {selection.view.name for selection in _selections(other)}:
            yield from ((item.name, other) for item in other.schema if item.name in names)


def _input_keys(view: OnDemandFeatureView) -> Iterator[tuple[FieldNode, str]]:
    """Give the columns by which the inputs are found, with the view that each is a key of."""
    for selection in _selections(view):
        source = selection.view
        if isinstance(source, BatchFeatureView):
            for key in join_keys_of(source.entities):
                name = selection.join_key_map.get(key.name, key.name)
                yield FieldNode(name=name, dtype=key.dtype), source.name


def _selections(view: OnDemandFeatureView) -> list[FeatureSelection]:
    return [selection_of(entry) for entry in items_of(view.sources) if not isinstance(entry, RequestSource)]
