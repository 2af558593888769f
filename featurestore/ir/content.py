"""The digest of a file's, a folder's or an archive's bytes: what a model or code is known by, whatever it is called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["archive_digest", "archive_name", "content_digest", "content_files"]


def archive_name(digest: str) -> str:
    """Name the definitions archive of a manifest's ``code`` digest."""
    return f"{digest}.zip"


def archive_digest(entries: Iterable[tuple[str, bytes]]) -> str:
    """Hash the names and contents of a definitions archive, which are in order of their names."""
    digest = hashlib.sha256()
    for name, content in entries:
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:32]


def content_digest(path: Path) -> str:
    """Hash a file's bytes, or of a folder the names and bytes of all files in it."""
    if path.is_file():
        return _file_digest(path)
    digest = hashlib.sha256()
    for inner in content_files(path):
        digest.update(f"{inner.relative_to(path).as_posix()}\0{_file_digest(inner)}\0".encode())
    return digest.hexdigest()


def content_files(folder: Path) -> Iterator[Path]:
    """Give the files of a folder that count, in the order of their names: neither caches nor hidden ones."""
    for path in sorted(folder.rglob("*"), key=lambda found: found.relative_to(folder).as_posix()):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
            yield path


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
