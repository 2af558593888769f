"""The text form of a commit record, as it stands in a Delta commit's userMetadata."""

from __future__ import annotations

import json

from featurestore.errors import StateError
from featurestore.intervals import Interval, parse_instant, show_instant
from featurestore.stores.base import CommitRecord

__all__ = ["COMMIT_FORMAT", "commit_from_json", "commit_to_json"]

COMMIT_FORMAT = 1


def commit_to_json(commit: CommitRecord) -> str:
    """Write canonical JSON; the Delta version is left out, for the log itself knows it."""
    document = {
        "format": COMMIT_FORMAT,
        "run_id": commit.run_id,
        "view": commit.view,
        "version": commit.version,
        "interval": [
            show_instant(commit.interval.start),
            show_instant(commit.interval.end),
        ],
        "generation": commit.generation,
        "fingerprint": commit.fingerprint,
        "created": show_instant(commit.created),
        "computed_at": None if commit.computed_at is None else show_instant(commit.computed_at),
        "inputs": dict(commit.inputs),
        "counts": dict(commit.counts),
    }
    return json.dumps(
        document,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )


def commit_from_json(text: str | None, *, delta_version: int) -> CommitRecord | None:
    """Read ``commit_to_json``'s text; None for a commit that is no run's (table creation, OPTIMIZE)."""
    if not text:
        return None
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict) or "run_id" not in document:
        return None
    if document.get("format") != COMMIT_FORMAT:
        raise StateError(
            f"Delta version {delta_version} was committed in format {document.get('format')!r}; this release reads "
            f"format {COMMIT_FORMAT}: use the release that wrote it, or a newer one",
            delta_version=delta_version,
        )
    start, end = document["interval"]
    computed_at = document.get("computed_at")
    return CommitRecord(
        run_id=document["run_id"],
        view=document["view"],
        version=document["version"],
        interval=Interval(parse_instant(start), parse_instant(end)),
        generation=document["generation"],
        fingerprint=document["fingerprint"],
        created=parse_instant(document["created"]),
        inputs=document["inputs"],
        counts=document["counts"],
        computed_at=None if computed_at is None else parse_instant(computed_at),
        delta_version=delta_version,
    )
