"""One state of the pointer record with the manifest that goes with it, and the request plans bound to both."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import assert_never

from featurestore.codec.key_group import KeyGroup
from featurestore.codec.keys import KeyCodec, index_key
from featurestore.codec.pointer import Pointer, ViewPointer
from featurestore.codec.value import ListReader, RowCodec
from featurestore.ir.columns import stored_features
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import OnDemandViewNode, OnlineViewNode, PredictionViewNode, ServiceNode, StoredViewNode
from featurestore.retrieval.plan import (
    OnDemandOutput,
    Output,
    PredictionOutput,
    PredictionPlan,
    RequestPlan,
    StoredOutput,
    ViewRead,
)
from featurestore.retrieval.planner import plan_request
from featurestore.retrieval.refs import Features
from featurestore.serving.manifests import ManifestSource
from featurestore.serving.rows import RowRules, row_rules

__all__ = ["BoundPlan", "BoundPrediction", "BoundRead", "KeyedReads", "Snapshot"]

logger = logging.getLogger(__name__)

_MAX_PLANS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRead:
    """One read with its codecs; ``keys`` is None where nothing was ever published. ``columns`` pairs key and column.

    ``reader`` reads the features that are outputs.
    """

    keys: KeyCodec | None
    values: RowCodec
    rules: RowRules
    reader: ListReader
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedReads:
    """Reads whose keys are made of the same request columns, in the order of ``group``'s prefixes."""

    group: KeyGroup
    columns: tuple[str, ...]
    reads: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPrediction:
    """A prediction with what the pointer says of it; ``index`` is where keys are noted that live inference makes.

    ``scored_until_us`` is up to when the current version was scored. Until ``graced_until_us`` changed inputs make
    nothing stale, because their scoring is still to come; None: nothing is pending.
    """

    plan: PredictionPlan
    scored_until_us: int | None
    graced_until_us: int | None
    index: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPlan:
    """A plan with codecs; ``storage`` is equal for plans that read the same keys, ``needed`` names request columns.

    ``keyed`` are the reads that have keys; ``places`` say for each output in which read and which of its lists the
    stored values lie, None for on-demand features; ``direct`` is the same where every output is a list of its own.
    ``calls`` are the on-demand views that are outputs; ``code`` is the digest of the archive with their functions.
    ``optional`` columns are taken from requests that have them.
    """

    plan: RequestPlan
    reads: tuple[BoundRead, ...]
    keyed: tuple[KeyedReads, ...]
    predictions: tuple[BoundPrediction, ...]
    names: tuple[str, ...]
    places: tuple[tuple[int, int] | None, ...]
    direct: tuple[tuple[int, int], ...] | None
    calls: tuple[int, ...]
    code: str
    storage: tuple[int, ...]
    needed: tuple[str, ...]
    optional: tuple[str, ...]


class Snapshot:
    """What one request sees of the project, whatever is applied or published meanwhile.

    ``source`` knows a manifest of at least the record's generation already.
    """

    def __init__(self, source: ManifestSource, record: bytes | None) -> None:
        self.record = record
        self.pointer = None if record is None else Pointer.from_bytes(record)
        self.manifest: Manifest = _with_rolled_back(source, self.pointer)
        self._source = source
        self._plans: dict[tuple[str | tuple[str, ...] | ServiceNode, bool], BoundPlan] = {}
        self._codecs: dict[tuple[str, int], RowCodec] = {}

    def bound(self, features: Features, full_feature_names: bool) -> BoundPlan:
        """Plan a feature set, once."""
        identity = (features if isinstance(features, (str, ServiceNode)) else tuple(features), full_feature_names)
        found = self._plans.get(identity)
        if found is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = plan_request(self.manifest, features, full_feature_names, versions=self)
            found = self._plans[identity] = self._bind(plan)
        return found

    def current(self, view: str) -> tuple[StoredViewNode, bool]:
        """Give the version that the pointer serves; the manifest's, unpublished, where it serves none."""
        node = self.manifest.stored_view(view)
        pointed = self._pointed(view)
        if pointed is None:
            return node, False
        if pointed.version == node.version:
            return node, True
        older = self._source.version(view, pointed.version)
        if older is None:
            logger.warning(
                "view %s: version %d is served but its definition is not known here; version %d is not published yet",
                view,
                pointed.version,
                node.version,
            )
            return node, False
        return older, True

    def pinned(self, view: str, version: int) -> StoredViewNode | None:
        node = self.manifest.stored_view(view)
        return node if node.version == version else self._source.version(view, version)

    def previous(self, view: str) -> StoredViewNode | None:
        pointed = self._pointed(view)
        if pointed is None:
            return None
        current = self.manifest.stored_view(view).version
        served = [pointed.version, *(ref.version for ref in pointed.warm)]
        older = next((version for version in served if version != current), None)
        return None if older is None else self._source.version(view, older)

    def is_written(self, view: OnDemandViewNode) -> bool:
        return view.write_to_online_store and view.storage_id > 0

    def _pointed(self, view: str) -> ViewPointer | None:
        pointed = None if self.pointer is None else self.pointer.views.get(view)
        return pointed if pointed is not None and pointed.version else None

    def _bind(self, plan: RequestPlan) -> BoundPlan:
        wanted: list[dict[str, int]] = [{} for _ in plan.reads]
        for output in plan.outputs:
            if (read := _read_of(plan, output)) is not None:
                wanted[read].setdefault(output.feature, len(wanted[read]))
        reads = tuple(self._bind_read(read, tuple(names)) for read, names in zip(plan.reads, wanted, strict=True))
        places = tuple(_place(plan, reads, output) for output in plan.outputs)
        direct = tuple(place for place in places if place is not None)
        project_id = self.pointer.project_id if self.pointer else 0
        return BoundPlan(
            plan=plan,
            reads=reads,
            keyed=_keyed(reads),
            predictions=tuple(self._bind_prediction(prediction) for prediction in plan.predictions),
            names=tuple(output.name for output in plan.outputs),
            places=places,
            direct=direct if len(set(direct)) == len(places) else None,
            calls=tuple(dict.fromkeys(output.call for output in plan.outputs if isinstance(output, OnDemandOutput))),
            code=self.manifest.code,
            storage=(project_id, *(read.keys.storage_id if read.keys else 0 for read in reads)),
            needed=tuple(dict.fromkeys((*plan.key_columns, *(field.name for field in plan.request_fields)))),
            optional=tuple(field.name for field in plan.optional_fields),
        )

    def _bind_read(self, read: ViewRead, features: tuple[str, ...]) -> BoundRead:
        view = read.view
        fields = view.join_keys
        if isinstance(view, PredictionViewNode):
            fields += view.request
        keys = None
        if self.pointer is not None and read.is_published and view.storage_id:
            keys = KeyCodec(project_id=self.pointer.project_id, storage_id=view.storage_id, fields=fields)
        pointed = self._pointed(view.name)
        live = () if pointed is None else pointed.live()
        ref = next((ref for ref in live if ref.version == view.version), None)
        codec = self._codec(view)
        return BoundRead(
            keys=keys,
            values=codec,
            rules=row_rules(view, ref),
            reader=codec.list_reader(features),
            columns=tuple(zip((field.name for field in fields), read.columns, strict=True)),
        )

    def _bind_prediction(self, plan: PredictionPlan) -> BoundPrediction:
        pointed = self._pointed(plan.view.name)
        scored = pointed.covered_until_us if pointed is not None and pointed.version == plan.view.version else None
        since = None if pointed is None else pointed.pending_since_us
        grace = plan.view.input_grace // timedelta(microseconds=1)
        return BoundPrediction(
            plan=plan,
            scored_until_us=scored,
            graced_until_us=None if since is None else since + grace,
            index=index_key(self.pointer.project_id if self.pointer else 0, plan.view.storage_id),
        )

    def _codec(self, view: OnlineViewNode) -> RowCodec:
        identity = (view.name, view.version)
        if identity not in self._codecs:
            self._codecs[identity] = RowCodec(stored_features(view))
        return self._codecs[identity]


def _read_of(plan: RequestPlan, output: Output) -> int | None:
    """Give the read that holds an output's stored values."""
    match output:
        case StoredOutput():
            return output.read
        case PredictionOutput():
            return plan.predictions[output.prediction].read
        case OnDemandOutput():
            return None
        case _:
            assert_never(output)


def _place(plan: RequestPlan, reads: Sequence[BoundRead], output: Output) -> tuple[int, int] | None:
    read = _read_of(plan, output)
    return None if read is None else (read, reads[read].reader.slot(output.feature))


def _keyed(reads: Sequence[BoundRead]) -> tuple[KeyedReads, ...]:
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, read in enumerate(reads):
        if read.keys is not None:
            identity = tuple(field.dtype for field in read.keys.fields), tuple(column for _, column in read.columns)
            groups.setdefault(identity, []).append(number)
    return tuple(_group([(number, reads[number]) for number in numbers]) for numbers in groups.values())


def _group(members: Sequence[tuple[int, BoundRead]]) -> KeyedReads:
    codecs = [read.keys for _, read in members if read.keys is not None]
    return KeyedReads(
        group=KeyGroup(codecs[0].fields, [codec.prefix for codec in codecs]),
        columns=tuple(column for _, column in members[0][1].columns),
        reads=tuple(number for number, _ in members),
    )


def _with_rolled_back(source: ManifestSource, pointer: Pointer | None) -> Manifest:
    """Put prediction views that were rolled back in the version that is served: its model is the current one."""
    manifest = source.manifest
    older: dict[str, PredictionViewNode] = {}
    for name, pointed in (pointer.views if pointer is not None else {}).items():
        node = manifest.prediction_views.get(name)
        if pointed.held_back is not None and node is not None and node.version != pointed.version:
            found = source.version(name, pointed.version)
            if isinstance(found, PredictionViewNode):
                older[name] = found
    return replace(manifest, prediction_views={**manifest.prediction_views, **older}) if older else manifest
