"""Where the log's files go: into the offline store's landing folder, by way of a local one where it is remote."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.intervals import utc_now

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ServedFiles"]


class ServedFiles:
    """Files under ``root``, the offline store's; each appears whole, under a name that no other has.

    For a root that is not local a file is written to ``spool`` first and then sent. What could not be sent stays there
    and is sent by the next flush, of this process or another of the same folder.
    """

    def __init__(self, root: str, spool: Path) -> None:
        self.address = root
        self._is_local = "://" not in root
        self._spool = Path(root) if self._is_local else spool

    def write(self, folder: str, table: pa.Table) -> None:
        """Write one file durably on this machine; OSError where that fails."""
        import pyarrow.parquet as pq

        target = self._spool / folder
        target.mkdir(parents=True, exist_ok=True)
        name = f"{utc_now():%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex}.parquet"
        partial = target / f".{name}.part"
        try:
            pq.write_table(table, partial, compression="zstd")
            partial.replace(target / name)
        finally:
            partial.unlink(missing_ok=True)

    def ship(self) -> None:
        """Send what lies on this machine to a root that is elsewhere; OSError where that fails."""
        if self._is_local or not self._spool.is_dir():
            return
        from featurestore.filesystems import open_files

        for path in sorted(self._spool.rglob("*.parquet")):
            inner = path.relative_to(self._spool).as_posix()
            filesystem, target = open_files(f"{self.address.rstrip('/')}/{inner}")
            filesystem.create_dir(target.rpartition("/")[0], recursive=True)
            with filesystem.open_output_stream(target) as stream:
                stream.write(path.read_bytes())
            path.unlink(missing_ok=True)
