"""The file system behind a path, for what is read without Spark: listings, footers, statistics."""

from __future__ import annotations

from pyarrow import fs

__all__ = ["open_files"]


def open_files(address: str) -> tuple[fs.FileSystem, str]:
    """Give the file system of an absolute path or URI (``s3a://``, as Spark spells it, too), and the path in it."""
    if "://" not in address:
        return fs.LocalFileSystem(), address
    filesystem, path = fs.FileSystem.from_uri(address.replace("s3a://", "s3://", 1))
    return filesystem, path
