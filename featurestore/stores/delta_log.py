"""A Delta table's log, read without Spark: which runs committed what."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from featurestore.stores.base import CommitRecord
from featurestore.stores.commit_json import commit_from_json

__all__ = ["DeltaLog"]

_LOG = logging.getLogger(__name__)
_FIRST_LOOK = 16


class DeltaLog:
    """The log at ``path``; it is opened anew for each question, so answers are never stale.

    A record's ``counts`` has what its run said, and ``rows_appended`` as Delta counted them.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def latest_version(self) -> int | None:
        """Give the newest version, None where there is no table."""
        table = self._open()
        return None if table is None else table.version()

    def columns(self) -> tuple[str, ...] | None:
        """Name the table's columns, None where there is no table."""
        table = self._open()
        return None if table is None else tuple(field.name for field in table.schema().fields)

    def files(self, version: int) -> list[str]:
        """Name the data files of a version, as addresses under the table's."""
        names = pa.table(DeltaTable(self._path, version=version).get_add_actions())["path"].to_pylist()
        return [f"{self._path}/{unquote(str(name))}" for name in names]

    def commits(self) -> list[CommitRecord]:
        """Give the commits of runs, oldest first; reads one small JSON file a version."""
        table = self._open()
        return [] if table is None else list(_records(table, None))[::-1]

    def has_restatements(self) -> bool:
        """Say whether a step was computed again, or rows came from elsewhere than a step."""
        table = self._open()
        if table is None:
            return False
        for entry in table.history():
            if entry.get("operation") == "WRITE":
                record = commit_from_json(entry.get("userMetadata"), delta_version=entry["version"])
                if record is None or record.generation > 1:
                    return True
        return False

    def rows_after(self, version: int | None) -> int:
        """Count the rows that were appended after a version, by runs or otherwise; all with None."""
        table = self._open()
        if table is None:
            return 0
        limit = None if version is None else max(table.version() - version, 0)
        entries = [] if limit == 0 else table.history(limit)
        return sum(
            int(entry.get("operationMetrics", {}).get("numOutputRows", 0))
            for entry in entries
            if entry.get("operation") == "WRITE"
        )

    def recent_commits(self) -> Iterator[CommitRecord]:
        """Give the commits of runs, newest first, reading further back only as far as the caller asks."""
        table = self._open()
        if table is None:
            return
        total, given, limit = table.version() + 1, 0, _FIRST_LOOK
        while True:
            records = list(_records(table, min(limit, total)))
            yield from records[given:]
            if limit >= total:
                return
            given, limit = len(records), limit * 8

    def _open(self) -> DeltaTable | None:
        try:
            return DeltaTable(self._path)
        except TableNotFoundError:
            return None


def _records(table: DeltaTable, limit: int | None) -> Iterator[CommitRecord]:
    for entry in table.history(limit):
        record = commit_from_json(entry.get("userMetadata"), delta_version=entry["version"])
        if record is not None:
            rows = int(entry.get("operationMetrics", {}).get("numOutputRows", 0))
            yield replace(record, counts={**record.counts, "rows_appended": rows})
        else:
            _LOG.debug(
                "version %s of %s is no run's: %s",
                entry["version"],
                table.table_uri,
                entry.get("operation"),
            )
