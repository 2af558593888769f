"""Which files of a source came and went between two pins: from listings and the Delta log alone, without Spark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from pyarrow import fs

from featurestore.engines.base import SourcePin
from featurestore.filesystems import open_files
from featurestore.intervals import EPOCH, Interval, from_micros, to_micros
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode

__all__ = ["ChangedFile", "FileChanges", "changed_files", "changed_table_files"]

_READERS = 16
_MICROSECOND = timedelta(microseconds=1)
_MILLISECOND = timedelta(milliseconds=1)
"""Delta's statistics are cut to milliseconds."""
_FEED = "delta.enableChangeDataFeed"
_NOWHERE = Interval(EPOCH, EPOCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedFile:
    """A file by its path inside the source, with what is known of its rows without reading them.

    ``times`` holds the event times of all its rows; empty where it has no row, None where that is not known.
    """

    path: str
    rows: int | None = None
    times: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChanges:
    """What came (``added``) and went (``removed``); a file that was written over is in both.

    ``unknown`` says why the state before cannot be read any more, or cannot be compared; then the lists are what is
    known all the same. ``has_feed``: a change data feed tells the rows of every commit in between.
    """

    added: tuple[ChangedFile, ...] = ()
    removed: tuple[ChangedFile, ...] = ()
    unknown: str | None = None
    has_feed: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.removed or self.unknown)

    @property
    def times(self) -> Interval | None:
        """The event times of all rows in these files; None where a file's are not known."""
        if self.unknown is not None:
            return None
        known = [file.times for file in (*self.added, *self.removed)]
        found = [times for times in known if times is not None]
        if len(found) < len(known):
            return None
        return _spanned(found)

    @property
    def rows(self) -> int | None:
        """How many rows these files have at most; None where that is not known."""
        counts = [file.rows for file in (*self.added, *self.removed)]
        return None if self.unknown or None in counts else sum(count for count in counts if count is not None)


def changed_files(
    source: FileSourceNode | DeltaSourceNode,
    before: SourcePin,
    after: SourcePin,
    *,
    resolve: Callable[[str], str],
    table_path: str | None = None,
) -> FileChanges:
    """Compare two pins of one source; no Spark job, and no data is read, only Parquet footers of new files.

    ``table_path`` is where a Delta source that is named by catalogue ``table`` lies.
    """
    if before.state == after.state:
        return FileChanges()
    if before.kind != after.kind:
        return FileChanges(unknown=f"it was of kind {before.kind} and is of kind {after.kind}")
    renamed = {new: old for old, new in source.field_mapping}
    timestamp = renamed.get(source.timestamp_field or "", source.timestamp_field)
    if isinstance(source, FileSourceNode):
        return _listing_difference(source, before, after, resolve(source.path), timestamp or "")
    path = resolve(source.path) if source.path is not None else table_path
    if path is None:
        return FileChanges(unknown="where the catalogue table lies is not known here")
    bounds = None if source.query is not None else timestamp
    return changed_table_files(path, before.state, after.state, bounds)


def changed_table_files(
    path: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    timestamp: str | None,
    *,
    is_no_change: Callable[[Sequence[Mapping[str, Any]]], bool] = lambda actions: False,
) -> FileChanges:
    """Read the commits of the Delta log after ``before["version"]`` up to ``after["version"]``.

    Commits that only rewrite data (OPTIMIZE) or change the table's properties are no change, nor are those of which
    ``is_no_change`` says so. ``mtime_ns``, where ``before`` has it, tells a table that was made anew at the same path.
    """
    first, last = int(before["version"]), int(after["version"])
    if last < first:
        return FileChanges(unknown=f"the table's version went back from {first} to {last}: it was made anew")
    filesystem, base = open_files(path)
    log = f"{base}/_delta_log"
    if before.get("mtime_ns") is not None:
        (pinned,) = filesystem.get_file_info([f"{log}/{first:020d}.json"])
        if pinned.type is fs.FileType.NotFound:
            return FileChanges(unknown=f"version {first} is not in the table's log any more")
        if pinned.mtime_ns != before["mtime_ns"]:
            return FileChanges(unknown=f"version {first} of the table was written anew since")
    try:
        with ThreadPoolExecutor(_READERS) as pool:
            read = pool.map(lambda v: _actions(filesystem, f"{log}/{v:020d}.json"), range(first + 1, last + 1))
            commits = list(read)
    except FileNotFoundError:
        return FileChanges(unknown=f"the table's log has lost commits after version {first}")
    difference = _Difference()
    for actions in commits:
        difference.take(actions, changes=not is_no_change(actions))
    return difference.changes(filesystem, base, timestamp, has_feed=_has_feed(path, first, commits))


@dataclass(slots=True)
class _Difference:
    """The net difference of the table's files, and whether any commit changed data."""

    added: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    removed: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    feed_files: set[str] = field(default_factory=set)
    has_changed: bool = False

    def take(self, actions: Iterable[Mapping[str, Any]], *, changes: bool) -> None:
        feed: set[str] = set()
        gone: set[str] = set()
        for action in sorted(actions, key=lambda one: "add" in one):  # a commit removes, then adds
            if (one := action.get("remove")) is not None:
                self._put(one, self.removed, self.added, changes=changes)
                gone |= {one["path"]} if one.get("dataChange", True) else set()
            elif (one := action.get("add")) is not None:
                self._put(one, self.added, self.removed, changes=changes)
                gone |= {one["path"]} if one.get("dataChange", True) else set()
            elif (one := action.get("cdc")) is not None:
                feed.add(one["path"])
        self.feed_files |= feed or gone

    def _put(self, one: Mapping[str, Any], into: dict[Any, Any], out_of: dict[Any, Any], *, changes: bool) -> None:
        vector = one.get("deletionVector") or {}
        identity = (one["path"], f"{vector.get('pathOrInlineDv', '')}@{vector.get('offset', '')}")
        self.has_changed |= changes and bool(one.get("dataChange", True))
        if out_of.pop(identity, None) is None:
            into[identity] = one

    def changes(self, filesystem: fs.FileSystem, base: str, timestamp: str | None, *, has_feed: bool) -> FileChanges:
        if not self.has_changed:
            return FileChanges()
        added = tuple(_changed_file(one, timestamp) for one in self.added.values())
        removed = tuple(_changed_file(one, timestamp) for one in self.removed.values())
        lost = _lost(filesystem, base, [file.path for file in removed])
        if lost is not None:
            return FileChanges(added=added, removed=removed, unknown=f"its file {lost} was vacuumed")
        feed = has_feed and _lost(filesystem, base, [unquote(path) for path in self.feed_files]) is None
        return FileChanges(added=added, removed=removed, has_feed=feed)


def _actions(filesystem: fs.FileSystem, path: str) -> list[Mapping[str, Any]]:
    with filesystem.open_input_stream(path) as stream:
        return [json.loads(line) for line in stream.read().splitlines() if line.strip()]


def _lost(filesystem: fs.FileSystem, base: str, paths: Iterable[str]) -> str | None:
    """Name a file that is not there any more."""
    inside = [path for path in paths if "://" not in path and not path.startswith("/")]
    infos = filesystem.get_file_info([f"{base}/{path}" for path in inside]) if inside else []
    return next((info.base_name for info in infos if info.type is fs.FileType.NotFound), None)


def _has_feed(path: str, first: int, commits: Iterable[Iterable[Mapping[str, Any]]]) -> bool:
    """Say whether every one of the commits after ``first`` was made with a change data feed."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    changed = [action["metaData"] for actions in commits for action in actions if "metaData" in action]
    try:
        configurations = [DeltaTable(path, version=first if changed else None).metadata().configuration]
    except DeltaError:
        return False
    configurations += [metadata.get("configuration", {}) for metadata in changed]
    return all(configuration.get(_FEED) == "true" for configuration in configurations)


def _changed_file(one: Mapping[str, Any], timestamp: str | None) -> ChangedFile:
    stats = json.loads(one["stats"]) if one.get("stats") else {}
    rows = stats.get("numRecords")
    times = None
    if timestamp is not None and rows is not None:
        least, greatest = ((stats.get(name) or {}).get(timestamp) for name in ("minValues", "maxValues"))
        nulls = (stats.get("nullCount") or {}).get(timestamp)
        if isinstance(least, str) and isinstance(greatest, str):
            times = Interval(datetime.fromisoformat(least), datetime.fromisoformat(greatest) + _MILLISECOND)
        elif rows == 0 or nulls == rows:
            times = _NOWHERE
    return ChangedFile(path=unquote(one["path"]), rows=rows, times=times)


def _listing_difference(
    source: FileSourceNode, before: SourcePin, after: SourcePin, address: str, timestamp: str
) -> FileChanges:
    old, new = ({name: (size, at) for name, size, at in pin.state["files"]} for pin in (before, after))
    added = sorted(name for name, state in new.items() if old.get(name) != state)
    removed = sorted(name for name, state in old.items() if new.get(name) != state)
    files = tuple(ChangedFile(path=name) for name in added)
    if source.format == "parquet":
        with ThreadPoolExecutor(_READERS) as pool:
            files = tuple(pool.map(lambda name: _parquet_file(address, name, timestamp), added))
    if not removed:
        return FileChanges(added=files)
    shown = PurePosixPath(removed[0]).name or PurePosixPath(address).name
    verb = "written over" if removed[0] in new else "removed"
    more = f" and {len(removed) - 1} more were" if len(removed) > 1 else " was"
    return FileChanges(
        added=files, removed=tuple(ChangedFile(path=name) for name in removed), unknown=f"its file {shown}{more} {verb}"
    )


def _parquet_file(address: str, name: str, timestamp: str) -> ChangedFile:
    """Read a new file's footer."""
    import pyarrow.parquet as pq

    filesystem, path = open_files(f"{address}/{name}" if name else address)
    footer = pq.read_metadata(path, filesystem=filesystem)
    times: list[Interval] = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
        found = columns[timestamp].statistics if timestamp in columns else None
        least, greatest = (found.min, found.max) if found is not None and found.has_min_max else (None, None)
        if isinstance(least, datetime) and isinstance(greatest, datetime):
            # Of nanoseconds, whole microseconds: as they are read.
            times.append(Interval(from_micros(to_micros(least)), from_micros(to_micros(greatest)) + _MICROSECOND))
        elif group.num_rows:
            return ChangedFile(path=name, rows=footer.num_rows)
    return ChangedFile(path=name, rows=footer.num_rows, times=_spanned(times))


def _spanned(parts: Iterable[Interval]) -> Interval:
    """Give the range from the first to the last; empty where all are."""
    filled = [part for part in parts if not part.is_empty]
    if not filled:
        return _NOWHERE
    return Interval(min(part.start for part in filled), max(part.end for part in filled))
