"""Files without Spark: the file system behind a path, and the replacement of a local file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pyarrow import fs

__all__ = ["open_files", "write_atomically"]


def open_files(address: str) -> tuple[fs.FileSystem, str]:
    """Give the file system of an absolute path or URI (``s3a://``, as Spark spells it, too), and the path in it."""
    if "://" not in address:
        return fs.LocalFileSystem(), address
    filesystem, path = fs.FileSystem.from_uri(address.replace("s3a://", "s3://", 1))
    return filesystem, path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file by a rename, so that readers see the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    Path(temporary).replace(path)
