"""Compiled definitions: every name resolved, every type known, every function a reference with a digest."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from featurestore.ir.models import CodeRef, ModelFileNode, ModelLoad, ModelNode, ModelOutputNode, ModelServerNode
from featurestore.ir.schedule import ScheduleNode
from featurestore.ir.sources import (
    DeltaSourceNode,
    FieldNode,
    FileSourceNode,
    KafkaSourceNode,
    PushSourceNode,
    RequestSourceNode,
    SourceNode,
)
from featurestore.ir.transformations import (
    AggregationNode,
    Aggregations,
    EventQuery,
    FunctionTransformation,
    Passthrough,
    SqlTransformation,
    Transformation,
)

__all__ = [
    "AggregationNode",
    "Aggregations",
    "CodeRef",
    "DeltaSourceNode",
    "EntityNode",
    "EventQuery",
    "ExpectationNode",
    "FeatureRef",
    "FieldNode",
    "FileSourceNode",
    "FunctionTransformation",
    "InputNode",
    "KafkaSourceNode",
    "ModelFileNode",
    "ModelLoad",
    "ModelNode",
    "ModelOutputNode",
    "ModelServerNode",
    "OnDemandViewNode",
    "OnlineViewNode",
    "Passthrough",
    "PermissionNode",
    "PredictionViewNode",
    "PushSourceNode",
    "RequestSourceNode",
    "ServiceNode",
    "SourceInput",
    "SourceNode",
    "SqlTransformation",
    "StoredViewNode",
    "Transformation",
    "ViewInputNode",
    "ViewNode",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityNode:
    name: str
    keys: tuple[FieldNode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInput:
    """A batch source, by name; that name is the placeholder in SQL."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewInputNode:
    """Rows of another view; ``alias`` (default the view's name) is the placeholder in SQL."""

    view: str
    features: tuple[str, ...]
    alias: str
    join_key_map: tuple[tuple[str, str], ...] = ()


InputNode: TypeAlias = SourceInput | ViewInputNode


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectationNode:
    name: str
    arguments: str
    """Canonical JSON of the expectation's arguments."""
    severity: Literal["critical", "warning"] = "critical"
    on: Literal["input", "output"] = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewNode:
    """A batch (or stream) feature view; ``push_sources`` names the sources whose pushes feed it.

    ``version`` and ``storage_id`` are 0 until ``apply`` stamps them: version counts the fingerprints of one view
    name; storage_id is unique for each (view, version) of a project and is what online keys carry.
    """

    name: str
    join_keys: tuple[FieldNode, ...]
    entities: tuple[str, ...]
    inputs: tuple[InputNode, ...]
    transformation: Transformation
    features: tuple[FieldNode, ...]
    start: datetime | None
    schedule: ScheduleNode | None
    ttl: timedelta | None
    online: bool
    late_data: timedelta
    data_delay: timedelta
    on_expired: Literal["null", "serve"]
    freshness: timedelta | None
    expectations: tuple[ExpectationNode, ...] = ()
    engine: str = "spark"
    owner: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    description: str = ""
    push_sources: tuple[str, ...] = ()
    fingerprint: str = ""
    version: int = 0
    storage_id: int = 0

    @property
    def is_aggregate(self) -> bool:
        return isinstance(self.transformation, Aggregations)

    @property
    def user_code(self) -> SqlTransformation | FunctionTransformation | None:
        """The query or function that inputs go through; None where their rows are taken as they are."""
        match self.transformation:
            case SqlTransformation() | FunctionTransformation() as code:
                return code
            case Aggregations(events=EventQuery(transformation=code)):
                return code
            case _:
                return None

    @property
    def longest_window(self) -> timedelta | None:
        """The longest window of an aggregate view; None for lifetime windows and other views."""
        if not isinstance(self.transformation, Aggregations):
            return None
        windows = [item.window for item in self.transformation.items]
        return None if None in windows else max(window for window in windows if window is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRef:
    """One feature of a view; ``alias`` is the name the view goes by here (its own by default)."""

    view: str
    feature: str
    alias: str
    join_key_map: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemandViewNode:
    """``inputs`` are stored features, ``request`` the values that come with the request.

    ``join_keys`` find its online row; there are none unless ``write_to_online_store``. ``entities`` are those that the
    definition names; without any the keys are those of the inputs. Only what is written has a version and storage id.
    """

    name: str
    inputs: tuple[FeatureRef, ...]
    request: tuple[FieldNode, ...]
    features: tuple[FieldNode, ...]
    code: CodeRef
    mode: Literal["numpy", "pandas", "python"]
    write_to_online_store: bool = False
    join_keys: tuple[FieldNode, ...] = ()
    entities: tuple[str, ...] = ()
    owner: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    description: str = ""
    fingerprint: str = ""
    version: int = 0
    storage_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionViewNode:
    """A model's outputs; ``features`` lists outputs as a feature view's ``features`` does."""

    name: str
    join_keys: tuple[FieldNode, ...]
    entities: tuple[str, ...]
    inputs: tuple[FeatureRef, ...]
    request: tuple[FieldNode, ...]
    model: ModelNode
    features: tuple[FieldNode, ...]
    start: datetime | None
    schedule: ScheduleNode | None
    max_age: timedelta | None
    on_stale: Literal["infer", "serve_stale", "null", "error"]
    on_failure: Literal["serve_stale", "null", "error"]
    refresh: tuple[str, ...]
    stale_on: tuple[str, ...]
    input_grace: timedelta
    require_features: bool
    attach_to: str | None
    data_delay: timedelta
    refresh_ahead: timedelta | None = None
    shadow: tuple[ModelNode, ...] = ()
    shadow_fraction: float = 1.0
    where: str | None = None
    expectations: tuple[ExpectationNode, ...] = ()
    freshness: timedelta | None = None
    owner: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    description: str = ""
    fingerprint: str = ""
    version: int = 0
    storage_id: int = 0

    @property
    def asks_models(self) -> bool:
        """Whether a lookup of the view may have its model, or a shadow model, predict."""
        return self.on_stale == "infer" or "on_write" in self.refresh or bool(self.shadow or self.refresh_ahead)


StoredViewNode: TypeAlias = ViewNode | PredictionViewNode
"""What has a Delta table and online rows."""

OnlineViewNode: TypeAlias = StoredViewNode | OnDemandViewNode
"""What has online rows; an on-demand view only with ``write_to_online_store``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNode:
    name: str
    features: tuple[FeatureRef, ...]
    owner: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionNode:
    name: str
    types: tuple[str, ...]
    name_patterns: tuple[str, ...]
    roles: tuple[str, ...]
    actions: tuple[str, ...] = field(default=())
