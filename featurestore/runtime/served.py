"""The offline side of the log of served predictions: landed files go to Delta, and both are read back together."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import TableNotFoundError
from pyarrow import fs

from featurestore.codec.served import served_schema
from featurestore.errors import FeatureNotFound, SettingsError, StateError
from featurestore.filesystems import open_files
from featurestore.intervals import Interval, show_instant
from featurestore.ir.served import LANDING, SERVED, SERVED_AT, SERVED_REQUEST, SERVED_ROW
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.retrieval_job import RetrievalJob

if TYPE_CHECKING:
    pass

__all__ = ["append_served", "read_served"]

logger = logging.getLogger(__name__)

_APP_ID = "served"
_FILES_PER_COMMIT = 256
_BATCH = "batch-"
_READS = 10


def append_served(context: RuntimeContext, only: str | None = None) -> dict[str, int]:
    """Append the landed files of all prediction views, or of one, to their Delta tables; give the rows by view.

    Exactly once: files are first moved into a numbered batch, whose number is the commit's transaction version; a batch
    that a killed run left is appended, or only removed where its commit is there.
    """
    root = context.settings.offline_root.rstrip("/")
    filesystem, base = open_files(f"{root}/{LANDING}")
    counts: dict[str, int] = {}
    with _alone(filesystem, base):
        for folder in _folders(filesystem, base, depth=2):
            view, version = folder.split("/")[-2:]
            if only not in (None, view):
                continue
            rows = _append_folder(filesystem, folder, f"{root}/{SERVED}/{view}/{version}")
            counts[view] = counts.get(view, 0) + rows
    return counts


def read_served(context: RuntimeContext, view: str, start: datetime, end: datetime) -> RetrievalJob:
    """Read what was served of a prediction view in ``[start, end)``, in all its versions, landed files included.

    Shadow models' rows are there too, marked by ``is_shadow``. An output that a version does not have is null.
    """
    node = context.manifest.prediction_views.get(view)
    if node is None:
        valid = ", ".join(sorted(context.manifest.prediction_views)) or "none"
        raise FeatureNotFound(
            f"project {context.manifest.project!r} has no prediction view {view!r}; it has {valid}", view=view
        )
    within = _within(start, end)
    root = context.settings.offline_root.rstrip("/")

    def read() -> pa.Table:
        parts = [served_schema(node).empty_table(), *_read_settled(root, view, within)]
        table = pa.concat_tables(parts, promote_options="default")
        return table.sort_by([(SERVED_AT, "ascending"), (SERVED_REQUEST, "ascending"), (SERVED_ROW, "ascending")])

    return _ServedJob(read, spark=lambda: context.spark)


def _within(start: datetime, end: datetime) -> Interval:
    try:
        return Interval(start, end)
    except ValueError as error:
        raise SettingsError(
            f"the range starts at {show_instant(start)}, after its end {show_instant(end)}; give the earlier first"
        ) from error


class _ServedJob(RetrievalJob):
    """A read that needs Spark only for a Spark frame."""

    def __init__(self, read: Callable[[], pa.Table], *, spark: Callable[[], Any]) -> None:
        super().__init__(lambda: spark().createDataFrame(self.to_arrow()), has_row_numbers=False)
        self._read = read
        self._table: pa.Table | None = None

    def to_arrow(self) -> pa.Table:
        """Read and give an Arrow table, in order of time."""
        if self._table is None:
            self._table = self._read()
        return self._table


def _append_folder(filesystem: fs.FileSystem, folder: str, table: str) -> int:
    done = _appended(table)
    rows = 0
    for number, batch in _batches(filesystem, folder):
        if number > done:
            rows += _append_batch(filesystem, batch, table, number)
            done = number
        _remove(filesystem, batch)
    while files := _files(filesystem, folder)[:_FILES_PER_COMMIT]:
        done += 1
        batch = f"{folder}/{_BATCH}{done:012d}"
        filesystem.create_dir(batch)
        for path in files:
            filesystem.move(path, f"{batch}/{path.rpartition('/')[2]}")
        rows += _append_batch(filesystem, batch, table, done)
        _remove(filesystem, batch)
    return rows


def _append_batch(filesystem: fs.FileSystem, batch: str, table: str, number: int) -> int:
    files = _files(filesystem, batch)
    if not files:
        return 0
    rows = _read_files(filesystem, files)
    transaction = CommitProperties(app_transactions=[Transaction(_APP_ID, number)])
    write_deltalake(table, rows, mode="append", commit_properties=transaction)
    return rows.num_rows


def _remove(filesystem: fs.FileSystem, batch: str) -> None:
    filesystem.delete_dir(batch)


def _read_settled(root: str, view: str, within: Interval) -> list[pa.Table]:
    """Read tables and landed files while nothing is appended in between: its rows would be in none, or in both."""
    for _ in range(_READS):
        before = _appended_batches(root, view)
        try:
            parts = list(_read_tables(root, view, within))
        except FileNotFoundError:
            continue  # a file was taken for a batch
        if _appended_batches(root, view) == before:
            return parts
    raise StateError(
        f"the log of predictions served of {view!r} was appended to {_READS} times while it was read; read it again",
        view=view,
    )


def _appended_batches(root: str, view: str) -> dict[str, int]:
    filesystem, tables = open_files(f"{root}/{SERVED}/{view}")
    names = [path.rpartition("/")[2] for path in _folders(filesystem, tables, depth=1)]
    return {name: _appended(f"{root}/{SERVED}/{view}/{name}") for name in names}


def _read_tables(root: str, view: str, within: Interval) -> Iterator[pa.Table]:
    bounds = (pc.field(SERVED_AT) >= pa.scalar(within.start)) & (pc.field(SERVED_AT) < pa.scalar(within.end))
    filesystem, tables = open_files(f"{root}/{SERVED}/{view}")
    for folder in _folders(filesystem, tables, depth=1):
        version = folder.rpartition("/")[2]
        found = _open(f"{root}/{SERVED}/{view}/{version}")
        if found is not None:
            yield found.to_pyarrow_dataset().to_table(filter=bounds)
    filesystem, landing = open_files(f"{root}/{LANDING}/{view}")
    for folder in _folders(filesystem, landing, depth=1):
        done = _appended(f"{root}/{SERVED}/{view}/{folder.rpartition('/')[2]}")
        files = _files(filesystem, folder)
        for number, batch in _batches(filesystem, folder):
            files += _files(filesystem, batch) if number > done else []
        if files:
            yield _read_files(filesystem, files).filter(bounds)


def _read_files(filesystem: fs.FileSystem, files: list[str]) -> pa.Table:
    return ds.dataset(files, filesystem=filesystem, format="parquet").to_table()


def _open(table: str) -> DeltaTable | None:
    try:
        return DeltaTable(table)
    except TableNotFoundError:
        return None


def _appended(table: str) -> int:
    """Give the number of the last batch that the table has."""
    found = _open(table)
    return 0 if found is None else found.transaction_version(_APP_ID) or 0


def _batches(filesystem: fs.FileSystem, folder: str) -> list[tuple[int, str]]:
    found = [path for path in _folders(filesystem, folder, depth=1) if path.rpartition("/")[2].startswith(_BATCH)]
    return [(int(path.rpartition(_BATCH)[2]), path) for path in found]


def _files(filesystem: fs.FileSystem, folder: str) -> list[str]:
    """List the whole files of a folder: those under way have a dot in front of their name."""
    found = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    return sorted(
        info.path
        for info in found
        if info.type is fs.FileType.File and info.base_name.endswith(".parquet") and info.base_name[0] != "."
    )


def _folders(filesystem: fs.FileSystem, base: str, *, depth: int) -> list[str]:
    found = [base]
    for _ in range(depth):
        found = [
            info.path
            for folder in found
            for info in filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
            if info.type is fs.FileType.Directory
        ]
    return sorted(found)


@contextmanager
def _alone(filesystem: fs.FileSystem, base: str) -> Iterator[None]:
    """Let one process of this machine append at a time; on an object store Delta refuses the second commit."""
    if not isinstance(filesystem, fs.LocalFileSystem):
        yield
        return
    Path(base).mkdir(parents=True, exist_ok=True)
    with (Path(base) / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
