"""What may be CACHED, judged by values: a score tells the model's version and the feature row that it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from featurestore.codec.pointer import Pointer
from featurestore.serving.response import OnlineResponse

__all__ = ["GRACE", "MAX_AGE", "MILLION", "FeatureRow", "Served", "judge"]

MAX_AGE = timedelta(hours=30)
GRACE = timedelta(minutes=15)
MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    number: int
    event_us: int
    created_us: int


@dataclass(slots=True, kw_only=True)
class Served:
    """What one lookup answered, and what stood when it read: the pointer record, then the rows."""

    pointer: Pointer
    standing: Mapping[int, FeatureRow]
    made: Mapping[tuple[int, int], int]
    now_us: int
    users: Sequence[int]
    response: OnlineResponse


def judge(served: Served) -> Iterator[str]:
    """Say what of an answer breaks the contract, by the oracle's own record."""
    entry = served.pointer.views["model_predictions"]
    answers = served.response.predictions["model_predictions"]
    for user, score, answer in zip(served.users, served.response["score"], answers, strict=True):
        status = str(answer.status)
        if status not in ("CACHED", "LIVE"):
            continue
        version, number = divmod(int(score), MILLION)
        standing = served.standing[user]
        since = entry.pending_since_us
        is_pending = since is not None and served.now_us - since <= GRACE.seconds * 10**6
        where = f"user {user}: {status} {int(score)}; row {standing.number} stood, version {entry.version} was served"
        if version < entry.version:
            yield f"{where}: stale by version"
        if number != standing.number and not (status == "CACHED" and is_pending):
            yield f"{where}: stale by inputs"
        if status == "CACHED":
            known = served.made[version, number]
            if number == standing.number and entry.covered_until_us is not None and version == entry.version:
                known = max(known, entry.covered_until_us)
            if served.now_us - known > MAX_AGE // timedelta(microseconds=1):
                yield f"{where}: stale by age"
