"""The log of served predictions: what every lookup gave out, as Parquet files that a job appends to Delta."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  # Arrow would load it at exit, which is too late
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from featurestore.errors import QueueFull
from featurestore.serving.served_files import ServedFiles

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ServedLog", "ServedRows"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRows:
    """``count`` rows for the log of ``folder`` (``ir.served.served_landing``); ``table`` makes them when written."""

    folder: str
    count: int
    table: Callable[[], pa.Table]


class ServedLog:
    """Collects served rows in memory and writes them by a thread, a file for each view version and flush.

    A file is written when ``file_rows`` rows are there or the oldest is ``seconds`` old. Memory is bounded by
    ``most_rows``: a caller that comes when so many wait writes them itself before it goes on, so nothing is ever
    dropped; QueueFull when that cannot be done either. ``close`` writes all that is there. Safe for threads and forks.
    """

    def __init__(
        self, files: ServedFiles, *, file_rows: int = 20_000, most_rows: int = 100_000, seconds: float = 30.0
    ) -> None:
        self._files = files
        self._file_rows = file_rows
        self._most_rows = most_rows
        self._seconds = seconds
        self._waiting: deque[ServedRows] = deque()
        self._oldest: float | None = None
        self._thread: threading.Thread | None = None
        self._is_registered = False
        self._start()

    @property
    def is_full(self) -> bool:
        """Whether the next who adds rows writes those that wait."""
        return self._count >= self._most_rows

    def add(self, rows: ServedRows) -> None:
        """Note rows; a file is made of them later."""
        if self._pid != os.getpid():
            self._start()
        with self._changed:
            is_full = self.is_full
            if not is_full:
                self._waiting.append(rows)
                self._count += rows.count
                if self._oldest is None:
                    self._oldest = time.monotonic()
                if not self._is_registered:
                    atexit.register(self._end)
                    self._is_registered = True
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="featurestore-served-log", daemon=True)
                    self._thread.start()
                elif self._count >= self._file_rows:
                    self._changed.notify()
        if is_full:
            self._write_for(rows)

    def flush(self) -> None:
        """Write all that is there; the error of what could not be written is raised, and the rows are kept."""
        with self._writing:
            self._write(self._take())
            self._files.ship()

    def _end(self) -> None:
        """Write what is there when the interpreter ends; a forked child leaves its parent's rows to the parent."""
        if self._pid == os.getpid():
            self.close()

    def close(self) -> None:
        """Stop the thread and write all that is there."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()
        with self._changed:
            self._thread, self._is_closing = None, False
        self.flush()
        atexit.unregister(self._end)
        self._start()

    def _start(self) -> None:
        """Begin with nothing: new, closed, or in a forked child, which leaves its parent's rows to the parent."""
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._waiting.clear()
        self._count, self._oldest = 0, None
        self._thread = None
        self._is_closing = False
        self._is_registered = False

    def _write_for(self, rows: ServedRows) -> None:
        try:
            self.flush()
        except OSError as error:
            raise QueueFull(
                f"{self._count} rows of the log of served predictions wait and cannot be written: {error}; make room "
                f"at {self._files.address}, or switch the log off (lookup: log_served)",
                rows=self._count,
            ) from error
        self.add(rows)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._is_closing and (self._count < self._file_rows or not self._waiting):
                    due = None if self._oldest is None else self._oldest + self._seconds - time.monotonic()
                    if due is not None and due <= 0:
                        break
                    self._changed.wait(due)
                if self._is_closing:
                    return
            try:
                self.flush()
            except OSError as error:
                logger.warning("the log of served predictions is not written now and kept: %s", error)
                with self._changed:
                    self._changed.wait(1.0)

    def _take(self) -> list[ServedRows]:
        with self._changed:
            taken = list(self._waiting)
            self._waiting.clear()
            self._oldest = None
            return taken

    def _write(self, taken: list[ServedRows]) -> None:
        import pyarrow as pa

        by_folder: dict[str, list[ServedRows]] = {}
        for rows in taken:
            by_folder.setdefault(rows.folder, []).append(rows)
        try:
            for folder in list(by_folder):
                self._files.write(folder, pa.concat_tables([rows.table() for rows in by_folder[folder]]))
                written = by_folder.pop(folder)
                with self._changed:
                    self._count -= sum(rows.count for rows in written)
        finally:
            left = [rows for several in by_folder.values() for rows in several]
            if left:
                with self._changed:
                    self._waiting.extendleft(reversed(left))
                    self._oldest = time.monotonic()
