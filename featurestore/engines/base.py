"""What the runtime asks of an engine: pin the inputs of a run, then compute its rows. Engines never write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from featurestore.intervals import Interval
from featurestore.ir.nodes import SourceNode, ViewNode

__all__ = ["ComputeRequest", "ComputedStep", "Engine", "SourcePin"]

FrameT = TypeVar("FrameT")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePin:
    """The state of a source that a run reads, however the source changes meanwhile; ``state`` is plain JSON.

    ``kind="delta"``: ``{"version": int, "mtime_ns": int}`` (no time for a catalogue table). ``kind="files"``:
    ``{"digest": str, "files": [[path, size, mtime_ns], …]}``, paths sorted; the digest covers the list.
    """

    source: str
    kind: str
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeRequest(Generic[FrameT]):
    """One run, of one step or of several that follow each other.

    ``first`` says that the interval's first step begins a covered stretch.

    An aggregate view then states every key with values at that step's end, changed or not, and as ever the keys that
    ran empty in it: so steps give an equal history in whatever order they run. Values of no events (counts 0, all
    else null) do not hold, so there too they are stated only where they are new.

    ``created`` stamps the rows whose source has no created column: those of the interval's last step with it, those
    of an earlier step as much earlier as that step ends, so that no row tells how steps were put together. A run that
    states covered steps anew (``restated``) stamps all rows with ``created``. ``pins`` has each source the view reads,
    by name.
    ``keys``, distinct join keys, restricts the run to their rows; user code may mix keys and is not restricted.
    """

    view: ViewNode
    interval: Interval
    first: bool
    created: datetime
    pins: Mapping[str, SourcePin]
    restated: bool = False
    keys: FrameT | None = None

    def created_at(self, step_end: datetime) -> datetime:
        """Give the created time of the rows of one step."""
        return self.created if self.restated else self.created - (self.interval.end - step_end)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedStep(Generic[FrameT]):
    """What a run computed, not yet evaluated if the engine is lazy.

    ``rows``: join keys, event_timestamp, created_timestamp, features, in the manifest's types, keys not null.
    ``raw``: the event source's rows of the interval before null keys are dropped; None where there is no such source.
    ``event_range``: the event times whose rows are this run's alone; what stands there and is not in ``rows`` is gone.
    ``metrics``: counts, to be called after ``rows`` was evaluated once; they cost no pass of their own.
    ``keys``: the only keys whose rows these are, None for all; what stands for other keys is not gone.
    """

    rows: FrameT
    raw: FrameT | None
    event_range: Interval
    metrics: Callable[[], Mapping[str, int]]
    keys: FrameT | None = None


class Engine(Protocol[FrameT]):
    """Computes a view's rows for an interval from pinned inputs: the same inputs give the same rows."""

    def pin(self, source: SourceNode) -> SourcePin:
        """Name the present state of a source."""
        ...

    def compute(self, request: ComputeRequest[FrameT]) -> ComputedStep[FrameT]:
        """Compute the rows of one run."""
        ...
