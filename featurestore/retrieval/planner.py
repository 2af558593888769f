"""Plan a request: from feature references or a service to the rows to read. Pure; cached by the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from featurestore.errors import FeatureNameCollision, FeatureNotFound
from featurestore.ir.inputs import input_rows, key_columns
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import (
    FeatureRef,
    FieldNode,
    OnDemandViewNode,
    OnlineViewNode,
    PredictionViewNode,
    StoredViewNode,
)
from featurestore.retrieval.plan import (
    Argument,
    ComputedArgument,
    OnDemandCall,
    OnDemandOutput,
    Output,
    PredictionOutput,
    PredictionPlan,
    RequestArgument,
    RequestPlan,
    ServedVersions,
    StoredArgument,
    StoredOutput,
    ViewRead,
)
from featurestore.retrieval.refs import Features, Reference, find_field, references, suggest
from featurestore.retrieval.versions import ManifestVersions

__all__ = ["plan_request"]


def plan_request(
    manifest: Manifest,
    features: Features,
    full_feature_names: bool = False,
    *,
    versions: ServedVersions | None = None,
    offline: bool = False,
) -> RequestPlan:
    """Resolve names into rows to read and values to compute; ``offline``: also of views that are not served online.

    Raises FeatureNotFound with close matches, and FeatureNameCollision where two features share an output name.
    """
    planner = _Planner(manifest, versions or ManifestVersions(manifest), full_feature_names, offline)
    for reference in references(manifest, features):
        planner.add(reference)
    return planner.plan()


class _Planner:
    """Collects the parts of one plan; each read, call and prediction is there once."""

    def __init__(self, manifest: Manifest, versions: ServedVersions, full_names: bool, offline: bool) -> None:
        self._manifest = manifest
        self._versions = versions
        self._full_names = full_names
        self._offline = offline
        self._reads: dict[tuple[int, str, int, tuple[str, ...]], int] = {}
        self._read_list: list[ViewRead] = []
        self._calls: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
        self._call_list: list[OnDemandCall] = []
        self._predictions: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
        self._prediction_list: list[PredictionPlan] = []
        self._outputs: dict[str, Output] = {}
        self._keys: dict[str, None] = {}
        self._request: dict[str, FieldNode] = {}
        self._required: set[str] = set()

    def plan(self) -> RequestPlan:
        for name in self._keys:
            if name in self._outputs:
                raise FeatureNameCollision(
                    f"{self._outputs[name].ref!r} is named like the key column {name!r} of the answer; "
                    "ask with full_feature_names=True",
                    name=name,
                )
        outputs = tuple(self._outputs.values())
        return RequestPlan(
            reads=tuple(self._read_list),
            calls=tuple(self._call_list),
            predictions=tuple(self._prediction_list),
            outputs=outputs,
            key_columns=tuple(self._keys),
            request_fields=tuple(field for name, field in self._request.items() if name in self._required),
            optional_fields=tuple(field for name, field in self._request.items() if name not in self._required),
            names={output.ref: output.name for output in outputs},
        )

    def add(self, ref: Reference) -> None:
        name = f"{ref.alias}__{ref.feature}" if self._full_names else ref.feature
        output = self._output(name, ref)
        other = self._outputs.setdefault(name, output)
        if other.ref != output.ref:
            hint = "use another alias (with_name)" if self._full_names else "ask with full_feature_names=True"
            raise FeatureNameCollision(
                f"{other.ref!r} and {output.ref!r} would both be named {name!r} in the answer; {hint}",
                name=name,
                features=[other.ref, output.ref],
            )

    def _output(self, name: str, ref: Reference) -> Output:
        manifest = self._manifest
        on_demand = manifest.on_demand_views.get(ref.view)
        if on_demand is not None:
            if ref.version is not None:
                raise FeatureNotFound(
                    f"{ref.text!r}: no version of on-demand view {ref.view!r} can be chosen, as its function is the "
                    f"applied one; ask for {ref.view}:{ref.feature}",
                    view=ref.view,
                )
            field = find_field(on_demand, ref)
            is_written = self._versions.is_written(on_demand)
            call = self._call(on_demand, ref.join_key_map, needs_request=not is_written)
            self._check_inputs(ref, self._call_list[call])
            if is_written:
                row = self._read(on_demand, ref.join_key_map)
                self._call_list[call] = replace(self._call_list[call], row=row)
            return OnDemandOutput(name=name, ref=ref.text, dtype=field.dtype, call=call, feature=field.name)
        prediction = manifest.prediction_views.get(ref.view)
        if prediction is not None and ref.version in (None, prediction.version):
            field = find_field(prediction, ref)
            return self._prediction_output(name, ref, prediction, field)
        if prediction is None and ref.view not in manifest.views:
            valid = [*manifest.views, *manifest.on_demand_views, *manifest.prediction_views]
            raise FeatureNotFound(
                f"{ref.text!r}: project {manifest.project!r} has no view {ref.view!r}: {suggest(ref.view, valid)}",
                view=ref.view,
            )
        node, is_published = self._node(ref)
        attached = manifest.prediction_views.get(ref.feature)
        if attached is not None and attached.attach_to == ref.view and ref.version is None:
            return self._prediction_output(name, ref, attached, attached.features[0])
        field = find_field(
            node, ref, [view.name for view in manifest.prediction_views.values() if view.attach_to == ref.view]
        )
        read = self._read(node, ref.join_key_map, is_published)
        return StoredOutput(name=name, ref=ref.text, dtype=field.dtype, read=read, feature=field.name)

    def _node(self, ref: Reference) -> tuple[StoredViewNode, bool]:
        if ref.version is None:
            node, is_published = self._versions.current(ref.view)
        else:
            pinned = self._versions.pinned(ref.view, ref.version)
            if pinned is None:
                current = self._versions.current(ref.view)[0].version
                raise FeatureNotFound(
                    f"{ref.text!r}: version {ref.version} of view {ref.view!r} is not readable; "
                    f"version {current} is served",
                    view=ref.view,
                    version=ref.version,
                )
            node, is_published = pinned, True
        if not self._offline and not getattr(node, "online", True):
            raise FeatureNotFound(
                f"{ref.text!r}: view {ref.view!r} is not served online; set online=True and apply", view=ref.view
            )
        return node, is_published

    def _read(self, node: OnlineViewNode, join_key_map: tuple[tuple[str, str], ...], is_published: bool = True) -> int:
        columns = key_columns(node, join_key_map)
        self._keys.update(dict.fromkeys(columns))
        if isinstance(node, PredictionViewNode):
            self._need(node.request)
            columns += tuple(field.name for field in node.request)
        identity = (node.storage_id, node.name, node.version, columns)
        if identity not in self._reads:
            self._reads[identity] = len(self._read_list)
            self._read_list.append(ViewRead(view=node, columns=columns, is_published=is_published))
        return self._reads[identity]

    def _need(self, fields: Sequence[FieldNode], *, is_optional: bool = False) -> None:
        for field in fields:
            other = self._request.setdefault(field.name, field)
            if not is_optional:
                self._required.add(field.name)
            if other != field:
                raise FeatureNameCollision(
                    f"request field {field.name!r} is needed as {other.dtype} and as {field.dtype}; rename one of them",
                    name=field.name,
                )

    def _call(
        self, view: OnDemandViewNode, join_key_map: tuple[tuple[str, str], ...], *, needs_request: bool = True
    ) -> int:
        """Add a call; a model's always needs the request's values, as it takes nothing that was written."""
        identity = (view.name, join_key_map)
        self._need(view.request, is_optional=not needs_request)
        if identity not in self._calls:
            arguments = self._arguments(view.inputs, join_key_map)
            requested = (RequestArgument(name=f.name, column=f.name, dtype=f.dtype) for f in view.request)
            self._calls[identity] = len(self._call_list)
            self._call_list.append(OnDemandCall(view=view, arguments=(*arguments, *requested)))
        return self._calls[identity]

    def _check_inputs(self, ref: Reference, call: OnDemandCall) -> None:
        """Refuse what cannot be computed while an input's served version is one that lacks a feature."""
        for argument in call.arguments:
            if isinstance(argument, StoredArgument):
                view = self._read_list[argument.read].view
                if argument.feature not in {field.name for field in view.features}:
                    raise FeatureNotFound(
                        f"{ref.text!r} reads {view.name}:{argument.feature}, which version {view.version} of "
                        f"{view.name!r} lacks; that version is served until the applied one is published",
                        feature=ref.feature,
                    )

    def _arguments(self, refs: Sequence[FeatureRef], join_key_map: tuple[tuple[str, str], ...]) -> tuple[Argument, ...]:
        counts: dict[str, int] = {}
        for ref in refs:
            counts[ref.feature] = counts.get(ref.feature, 0) + 1
        arguments: list[Argument] = []
        for ref in refs:
            name = ref.feature if counts[ref.feature] == 1 else f"{ref.alias}__{ref.feature}"
            keys = _compose(ref.join_key_map, join_key_map)
            on_demand = self._manifest.on_demand_views.get(ref.view)
            if on_demand is not None:
                arguments.append(ComputedArgument(name=name, call=self._call(on_demand, keys), feature=ref.feature))
            else:
                node, is_published = self._versions.current(ref.view)
                read = self._read(node, keys, is_published)
                arguments.append(StoredArgument(name=name, read=read, feature=ref.feature))
        return tuple(arguments)

    def _prediction_output(self, name: str, ref: Reference, view: PredictionViewNode, field: FieldNode) -> Output:
        identity = (view.name, ref.join_key_map)
        if identity not in self._predictions:
            plan = self._prediction(view, ref.join_key_map)
            self._predictions[identity] = len(self._prediction_list)
            self._prediction_list.append(plan)
        index = self._predictions[identity]
        return PredictionOutput(name=name, ref=ref.text, dtype=field.dtype, prediction=index, feature=field.name)

    def _prediction(self, view: PredictionViewNode, join_key_map: tuple[tuple[str, str], ...]) -> PredictionPlan:
        read = self._read(view, join_key_map)
        older = self._versions.previous(view.name)
        previous = previous_model = None
        if isinstance(older, PredictionViewNode) and older.features == view.features and older.request == view.request:
            previous, previous_model = (self._read(older, join_key_map), older.model.version)
        inputs: list[int] = []
        arguments: tuple[Argument, ...] = ()
        if "inputs" in view.stale_on or view.asks_models:
            for row in input_rows(self._manifest, view):
                node, is_published = self._versions.current(row.view)
                inputs.append(self._read(node, _compose(row.join_key_map, join_key_map), is_published))
        if view.asks_models:
            arguments = self._arguments(view.inputs, join_key_map)
            if not arguments:
                keys = zip(view.join_keys, key_columns(view, join_key_map), strict=True)
                arguments = tuple(RequestArgument(name=k.name, column=c, dtype=k.dtype) for k, c in keys)
            arguments += tuple(RequestArgument(name=f.name, column=f.name, dtype=f.dtype) for f in view.request)
        return PredictionPlan(
            view=view,
            read=read,
            previous=previous,
            previous_model=previous_model,
            inputs=tuple(dict.fromkeys(inputs)),
            arguments=arguments,
        )


def _compose(inner: tuple[tuple[str, str], ...], outer: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Rename an input's key columns as the request renames the keys of what reads it."""
    if not inner or not outer:
        return inner or outer
    renamed = dict(outer)
    composed = {key: renamed.get(column, column) for key, column in inner}
    return tuple({**renamed, **composed}.items())
