"""The text form of a tile table's commits, as it stands in their userMetadata."""

from __future__ import annotations

import json

from featurestore.errors import StateError
from featurestore.plan.tile_coverage import Layer, TileCommit
from featurestore.plan.tile_ranges import TileRange, Total

__all__ = [
    "TILE_COMMIT_FORMAT",
    "tile_clearing_from_json",
    "tile_clearing_to_json",
    "tile_commit_from_json",
    "tile_commit_to_json",
]

TILE_COMMIT_FORMAT = 1


def tile_commit_to_json(commit: TileCommit) -> str:
    """Write canonical JSON; the Delta version is left out, for the log itself knows it."""
    layers = [
        {
            "columns": sorted(layer.columns),
            "ranges": [[tiles.size, tiles.start, tiles.end] for tiles in sorted(layer.ranges)],
            "totals": [[total.window, total.end] for total in layer.totals],
        }
        for layer in commit.layers
    ]
    document = {
        "tiles": TILE_COMMIT_FORMAT,
        "build": commit.build,
        "seen": commit.seen,
        "pin": commit.pin,
        "changed": commit.changed,
        "layers": layers,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def tile_commit_from_json(text: str | None, *, version: int) -> TileCommit | None:
    """Read ``tile_commit_to_json``'s text; None for a commit that built no tiles (table creation, OPTIMIZE)."""
    try:
        document = json.loads(text or "null")
    except ValueError:
        return None
    if not isinstance(document, dict) or "tiles" not in document:
        return None
    if document["tiles"] != TILE_COMMIT_FORMAT:
        raise StateError(
            f"Delta version {version} of a tile table was committed in format {document['tiles']!r}; this release "
            f"reads format {TILE_COMMIT_FORMAT}: use the release that wrote it, or a newer one",
            delta_version=version,
        )
    return TileCommit(
        build=document["build"],
        seen=document["seen"],
        pin=document["pin"],
        changed=None if document["changed"] is None else tuple((start, end) for start, end in document["changed"]),
        layers=tuple(
            Layer(
                columns=frozenset(layer["columns"]),
                ranges=tuple(TileRange(size=size, start=start, end=end) for size, start, end in layer["ranges"]),
                totals=tuple(Total(window=window, end=end) for window, end in layer.get("totals", ())),
            )
            for layer in document["layers"]
        ),
        version=version,
    )


def tile_clearing_to_json(seen: int) -> str:
    """Write what a commit of upkeep says of itself: the rows that no longer counted at version ``seen`` are gone."""
    return json.dumps({"tiles_cleared": seen}, separators=(",", ":"))


def tile_clearing_from_json(text: str | None) -> int | None:
    """Read ``tile_clearing_to_json``'s text; None for any other commit."""
    try:
        document = json.loads(text or "null")
    except ValueError:
        return None
    return document.get("tiles_cleared") if isinstance(document, dict) else None
