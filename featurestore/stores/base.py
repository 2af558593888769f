"""What the runtime and the SDK ask of each store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from featurestore.intervals import Coverage, Interval
from featurestore.ir.manifest import Manifest
from featurestore.stores.side_records import SideRecords

if TYPE_CHECKING:
    from featurestore.stores.row_locks import RowLocks

__all__ = [
    "AppliedVersion",
    "AsyncOnlineReader",
    "Claim",
    "CommitRecord",
    "Ledger",
    "LedgerReader",
    "LedgerRebuild",
    "OnlineReader",
    "OnlineStore",
    "PublicationRecord",
    "Registry",
    "RunRecord",
    "RunState",
    "WriteCount",
]


class RunState(StrEnum):
    """Where a run stands. Only DONE counts as coverage; REFUSED and FAILED may be claimed again."""

    CLAIMED = "claimed"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to compute one interval of one view version until ``lease_until``.

    ``generation`` grows only when the pinned ``inputs`` change; ``created`` is the rows' created_timestamp, assigned
    with the first claim of a generation and kept by its retries. ``is_repair`` says an earlier generation is done.
    """

    run_id: str
    view: str
    version: int
    interval: Interval
    generation: int
    created: datetime
    inputs: Mapping[str, Any]
    owner: str
    lease_until: datetime
    is_repair: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRecord:
    """What one Delta commit of a run said: read back from the commit's userMetadata, so the ledger can be rebuilt.

    ``computed_at`` is the wall clock that its rows carry: it tells which commit a row came with.
    """

    run_id: str
    view: str
    version: int
    interval: Interval
    generation: int
    fingerprint: str
    created: datetime
    inputs: Mapping[str, Any]
    counts: Mapping[str, int]
    computed_at: datetime | None = None
    delta_version: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One row of the ledger: the latest attempt at (view version, interval, generation).

    ``claimed_at`` is when that attempt began; None for a run that was only found in the Delta log.
    """

    run_id: str
    view: str
    version: int
    interval: Interval
    generation: int
    state: RunState
    owner: str
    lease_until: datetime
    created: datetime
    inputs: Mapping[str, Any]
    counts: Mapping[str, int] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    delta_version: int | None = None
    attempts: int = 1
    claimed_at: datetime | None = None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationRecord:
    """One finished publication of a view version, up to ``delta_version``."""

    view: str
    version: int
    delta_version: int
    covered_until: datetime | None
    sent: int
    ignored: int
    bytes_sent: int
    published_at: datetime


class LedgerReader(Protocol):
    """The ledger as plan, status and the scheduler see it: it cannot write."""

    def coverage(self, view: str, version: int) -> Coverage: ...

    def runs(self, view: str, version: int, within: Interval | None = None) -> Sequence[RunRecord]:
        """Give the runs in order of interval, then generation."""
        ...

    def publications(self, view: str, version: int) -> Sequence[PublicationRecord]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRebuild:
    """Done runs that the Delta log had and the ledger lacked, and those that the ledger had and the log lacks."""

    added: int
    removed: int


class Ledger(LedgerReader, Protocol):
    """Who computes which interval; every method is one transaction."""

    def claim(
        self,
        view: str,
        version: int,
        interval: Interval,
        *,
        inputs: Mapping[str, Any],
        created: datetime,
        owner: str,
        now: datetime,
        lease: timedelta,
        repair: bool = False,
    ) -> Claim:
        """Take the interval, or raise IntervalBusy while another's lease lives.

        The first claim has generation 1 and the given ``created``. A claim after a refused, failed or expired attempt
        keeps generation and created when ``inputs`` are the same, and takes the next generation when they differ.
        A new generation is created 1 µs after what any overlapping attempt may have stated. An interval that is done is
        claimed again only with ``repair=True`` (else StateError): created is then also not before ``now``.
        """
        ...

    def heartbeat(self, claim: Claim, *, now: datetime, lease: timedelta) -> None:
        """Extend the lease; IntervalBusy when it was lost to another owner."""
        ...

    def finish(self, commit: CommitRecord, *, now: datetime) -> None:
        """Record a done run, whoever holds the claim: the Delta log is the truth. Idempotent."""
        ...

    def refuse(self, claim: Claim, error: Mapping[str, Any], *, now: datetime) -> None: ...

    def fail(self, claim: Claim, error: Mapping[str, Any], *, now: datetime) -> None: ...

    def withdraw(self, claim: Claim, *, now: datetime) -> None: ...

    def record_publication(self, publication: PublicationRecord) -> None: ...

    def rebuild(self, view: str, version: int, commits: Sequence[CommitRecord], *, now: datetime) -> LedgerRebuild:
        """Make the done runs those of the Delta log; claims and failures stay. Idempotent."""
        ...

    def forget(self, view: str, version: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedVersion:
    """A view version that ``apply`` recorded; ``storage_id`` is unique in the project and never used again."""

    view: str
    version: int
    fingerprint: str
    storage_id: int
    applied_at: datetime


class Registry(Protocol):
    """Applied manifests and view versions of one project."""

    def current(self) -> Manifest | None: ...

    def manifest(self, generation: int) -> Manifest: ...

    def record(self, manifest: Manifest, *, now: datetime) -> Manifest:
        """Stamp versions, storage ids and the generation, and store it; the stored manifest is given back.

        A view whose fingerprint was applied before gets that version back; a new fingerprint gets the next version.
        A manifest equal to the current one changes nothing.
        """
        ...

    def versions(self, view: str) -> Sequence[AppliedVersion]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCount:
    """Rows that replaced or made a value, and rows that were older than or equal to what stands."""

    written: int = 0
    ignored: int = 0
    bytes_sent: int = 0

    def __add__(self, other: WriteCount) -> WriteCount:
        return WriteCount(
            written=self.written + other.written,
            ignored=self.ignored + other.ignored,
            bytes_sent=self.bytes_sent + other.bytes_sent,
        )


class OnlineReader(Protocol):
    """What a lookup needs; ``deadline`` is seconds from now, None for the store's default."""

    def read(self, keys: Sequence[bytes], *, deadline: float | None = None) -> list[bytes | None]:
        """Give the stored bytes of each key, in order, in one round trip (one for each shard of a cluster)."""
        ...


class AsyncOnlineReader(Protocol):
    """What a lookup needs inside an event loop; a cancelled read leaves no connection with unread replies behind."""

    async def read(self, keys: Sequence[bytes], *, deadline: float | None = None) -> list[bytes | None]:
        """Give the stored bytes of each key, in order, in one round trip (one for each shard of a cluster)."""
        ...

    async def close(self) -> None: ...


class OnlineStore(OnlineReader, SideRecords, Protocol):
    """Packed values by binary key; values carry their own stamp (``codec.value``)."""

    def write_if_newer(
        self,
        pairs: Sequence[tuple[bytes, bytes]],
        *,
        expire_at_ms: Sequence[int] | None = None,
        are_new: bool = False,
    ) -> WriteCount:
        """Replace each value iff the new stamp is greater, atomically for each key. Replays do nothing.

        ``expire_at_ms`` has one Unix time in milliseconds for each pair, 0 for none. ``are_new`` says that hardly any
        of the keys is thought to be there, which a store may make use of; the outcome is the same.
        """
        ...

    def put_record(self, key: bytes, value: bytes) -> None:
        """Set a small record (manifest, marker) without comparing."""
        ...

    def replace_record(self, key: bytes, expected: bytes | None, value: bytes) -> bool:
        """Set a record iff it still holds ``expected``; say whether it did."""
        ...

    def delete(self, keys: Sequence[bytes]) -> int:
        """Remove keys; give how many there were."""
        ...

    def project_id(self, name: str) -> int:
        """Give the project's number in this store, made at the first call; no two names share one."""
        ...

    def time_micros(self) -> int:
        """Read the store's clock."""
        ...

    def row_locks(self) -> RowLocks:
        """Give the locks over this store's rows."""
        ...

    def check_eviction_policy(self) -> None:
        """Refuse a store that may drop live rows when its memory is full."""
        ...

    def close(self) -> None: ...
