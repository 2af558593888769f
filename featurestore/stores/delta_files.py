"""A Delta table's files as its log has them: sizes, which were replaced since when, which can go. No Spark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from deltalake import DeltaTable
from pyarrow import fs

from featurestore.filesystems import open_files

__all__ = ["DeltaFiles"]

_ADDING = frozenset(
    {
        "ADD COLUMNS",
        "CLUSTER BY",
        "CREATE TABLE",
        "SET TBLPROPERTIES",
        "STREAMING UPDATE",
        "UPGRADE PROTOCOL",
        "VACUUM END",
        "VACUUM START",
        "WRITE",
    }
)
"""Operations that replace no file where rows are only ever appended."""
_CLUSTERING = "clustering"


class DeltaFiles:
    """The table at ``path`` as it is when this is made; TableNotFoundError where there is none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._table = DeltaTable(path)

    @property
    def version(self) -> int:
        return self._table.version()

    @property
    def properties(self) -> Mapping[str, str]:
        return self._table.metadata().configuration

    @property
    def is_clustered(self) -> bool:
        return _CLUSTERING in (self._table.protocol().writer_features or ())

    def sizes(self) -> tuple[int, ...]:
        """Give the size of each file of the newest version, in bytes."""
        return tuple(self._table.get_add_actions(flatten=True).column("size_bytes").to_pylist())

    def folders(self) -> tuple[tuple[int, ...], ...]:
        """Give the sizes by folder: a table that is not partitioned has one."""
        actions = self._table.get_add_actions(flatten=True)
        found: dict[str, list[int]] = {}
        for path, size in zip(actions.column("path").to_pylist(), self.sizes(), strict=True):
            found.setdefault(path.rpartition("/")[0], []).append(size)
        return tuple(tuple(sizes) for sizes in found.values()) or ((),)

    def obsolete(self, retention: timedelta) -> int:
        """Count the files in the table's folder that no version of the last ``retention`` has; lists the folder."""
        hours = int(retention.total_seconds() // 3600)
        gone = self._table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
        if not gone:
            return 0
        filesystem, base = open_files(self._path)
        listed = filesystem.get_file_info(fs.FileSelector(base, recursive=True))
        # The log names files for some time after they were deleted. Checksums (.….crc) go with their files.
        root = f"{base.rstrip('/')}/"
        there = {info.path.removeprefix(root) for info in listed if info.is_file and info.base_name[0] != "."}
        return len(there.intersection(gone))

    def replaced_since(self, version: int) -> datetime | None:
        """Say when the first file that ``version`` or a later one had was replaced; None where all are still there.

        Reads the commits after ``version`` that do more than append.
        """
        newer = self._table.version() - version
        for entry in reversed(self._table.history(newer) if newer > 0 else []):
            if entry["version"] > version and entry.get("operation") not in _ADDING:
                times = self._removal_times(entry["version"])
                if times:
                    return datetime.fromtimestamp(min(times) / 1000, UTC)
        return None

    def _removal_times(self, version: int) -> list[int]:
        """Give when the files that a commit replaced were replaced, in ms: before the commit itself."""
        filesystem, base = open_files(self._path)
        with filesystem.open_input_stream(f"{base}/_delta_log/{version:020}.json") as stream:
            actions = [json.loads(line) for line in stream.read().decode().splitlines()]
        return [int(action["remove"]["deletionTimestamp"]) for action in actions if "remove" in action]
