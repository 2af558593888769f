"""What one feature set needs: which rows to read, what to compute, and which outputs come from where. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from featurestore.ir.nodes import FieldNode, OnDemandViewNode, OnlineViewNode, PredictionViewNode, StoredViewNode
from featurestore.spec.dtypes import DType

__all__ = [
    "Argument",
    "ComputedArgument",
    "OnDemandCall",
    "OnDemandOutput",
    "Output",
    "PredictionOutput",
    "PredictionPlan",
    "RequestArgument",
    "RequestPlan",
    "ServedVersions",
    "StoredArgument",
    "StoredOutput",
    "ViewRead",
]


class ServedVersions(Protocol):
    """Which version of a view a request reads: what the pointer record says, with the nodes of older versions."""

    def current(self, view: str) -> tuple[StoredViewNode, bool]:
        """Give the version to read, and whether it was ever published."""
        ...

    def pinned(self, view: str, version: int) -> StoredViewNode | None:
        """Give a version that is still readable."""
        ...

    def previous(self, view: str) -> StoredViewNode | None:
        """Give the version served before the manifest's, while its rows may still be read."""
        ...

    def is_written(self, view: OnDemandViewNode) -> bool:
        """Say whether rows of the on-demand view may be stored that outputs are to be taken from."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRead:
    """One stored row per request row: ``columns`` name the request columns of the key, in key order."""

    view: OnlineViewNode
    columns: tuple[str, ...]
    is_published: bool = True

    @property
    def table_view(self) -> StoredViewNode:
        """The view, in a plan for tables: no on-demand view has one, so such a plan reads none."""
        assert not isinstance(self.view, OnDemandViewNode)
        return self.view


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutput:
    """A feature of ``plan.reads[read]``."""

    name: str
    ref: str
    dtype: DType
    read: int
    feature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemandOutput:
    """A feature of ``plan.calls[call]``."""

    name: str
    ref: str
    dtype: DType
    call: int
    feature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionOutput:
    """An output of ``plan.predictions[prediction]``."""

    name: str
    ref: str
    dtype: DType
    prediction: int
    feature: str


Output: TypeAlias = StoredOutput | OnDemandOutput | PredictionOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArgument:
    """A stored feature as input of a function or model, under ``name``."""

    name: str
    read: int
    feature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedArgument:
    """An on-demand feature as input of a model."""

    name: str
    call: int
    feature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestArgument:
    """A column of the request: a request field, or a join key where a model has no features."""

    name: str
    column: str
    dtype: DType


Argument: TypeAlias = StoredArgument | ComputedArgument | RequestArgument


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemandCall:
    """An on-demand function on its arguments; ``row`` is the read of what was written of its outputs, if any is."""

    view: OnDemandViewNode
    arguments: tuple[Argument, ...]
    row: int | None = None

    @property
    def reads(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(item.read for item in self.arguments if isinstance(item, StoredArgument)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionPlan:
    """A prediction view in a request.

    ``read`` is its own row, ``previous`` the row of the version before it, ``inputs`` the rows that its digest
    covers, in that order; ``arguments`` are what the model gets.
    """

    view: PredictionViewNode
    read: int
    previous: int | None
    previous_model: str | None
    inputs: tuple[int, ...]
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPlan:
    """``key_columns`` are echoed in the answer; ``request_fields`` must come with the request too.

    ``optional_fields`` may be left out: then written on-demand features are answered as they were written.
    """

    reads: tuple[ViewRead, ...]
    calls: tuple[OnDemandCall, ...]
    predictions: tuple[PredictionPlan, ...]
    outputs: tuple[Output, ...]
    key_columns: tuple[str, ...]
    request_fields: tuple[FieldNode, ...]
    optional_fields: tuple[FieldNode, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """Output name by ref, such as ``user_data:ctr``."""
