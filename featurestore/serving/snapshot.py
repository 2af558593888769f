"""One state of the pointer record with the manifest that goes with it, and the request plans bound to both."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from featurestore.codec.keys import KeyCodec
from featurestore.codec.pointer import Pointer, ViewPointer
from featurestore.codec.value import RowCodec
from featurestore.ir.columns import stored_features
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import PredictionViewNode, ServiceNode, StoredViewNode
from featurestore.retrieval.plan import PredictionPlan, RequestPlan, ViewRead
from featurestore.retrieval.planner import Features, plan_request
from featurestore.serving.manifests import ManifestSource
from featurestore.serving.rows import RowRules, row_rules

__all__ = ["BoundPlan", "BoundRead", "Snapshot"]

logger = logging.getLogger(__name__)

_MAX_PLANS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRead:
    """One read with its codecs; ``keys`` is None where nothing was ever published. ``columns`` pairs key and column."""

    keys: KeyCodec | None
    values: RowCodec
    rules: RowRules
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPlan:
    """A plan with codecs; ``storage`` is equal for plans that read the same keys, ``needed`` names request columns."""

    plan: RequestPlan
    reads: tuple[BoundRead, ...]
    storage: tuple[int, ...]
    needed: tuple[str, ...]


class Snapshot:
    """What one request sees of the project, whatever is applied or published meanwhile.

    ``source`` knows a manifest of at least the record's generation already.
    """

    def __init__(self, source: ManifestSource, record: bytes | None) -> None:
        self.record = record
        self.pointer = None if record is None else Pointer.from_bytes(record)
        self.manifest: Manifest = source.manifest
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

    def scored_until(self, plan: PredictionPlan) -> int | None:
        """Give up to when the view's current version was scored."""
        pointed = self._pointed(plan.view.name)
        return pointed.covered_until_us if pointed is not None and pointed.version == plan.view.version else None

    def awaits_scoring(self, plan: PredictionPlan, now_us: int) -> bool:
        """Say whether inputs were published whose scoring is still to come, within ``input_grace``."""
        pointed = self._pointed(plan.view.name)
        since = None if pointed is None else pointed.pending_since_us
        return since is not None and now_us - since <= plan.view.input_grace.total_seconds() * 1_000_000

    def _pointed(self, view: str) -> ViewPointer | None:
        pointed = None if self.pointer is None else self.pointer.views.get(view)
        return pointed if pointed is not None and pointed.version else None

    def _bind(self, plan: RequestPlan) -> BoundPlan:
        reads = tuple(self._bind_read(read) for read in plan.reads)
        project_id = self.pointer.project_id if self.pointer else 0
        return BoundPlan(
            plan=plan,
            reads=reads,
            storage=(project_id, *(read.keys.storage_id if read.keys else 0 for read in reads)),
            needed=tuple(dict.fromkeys((*plan.key_columns, *(field.name for field in plan.request_fields)))),
        )

    def _bind_read(self, read: ViewRead) -> BoundRead:
        view = read.view
        fields = view.join_keys
        if isinstance(view, PredictionViewNode):
            fields += view.request
        keys = None
        if self.pointer is not None and read.is_published and view.storage_id:
            keys = KeyCodec(project_id=self.pointer.project_id, storage_id=view.storage_id, fields=fields)
        pointed = self._pointed(view.name)
        serves = pointed is not None and pointed.version == view.version
        return BoundRead(
            keys=keys,
            values=self._codec(view),
            rules=row_rules(
                view,
                pointed.covered_until_us if pointed is not None and serves else None,
                pointed.covered_from_us if pointed is not None and serves else None,
            ),
            columns=tuple(zip((field.name for field in fields), read.columns, strict=True)),
        )

    def _codec(self, view: StoredViewNode) -> RowCodec:
        identity = (view.name, view.version)
        if identity not in self._codecs:
            self._codecs[identity] = RowCodec(stored_features(view))
        return self._codecs[identity]
