"""The folder of downloaded and generated files that all projects of a user share."""

from __future__ import annotations

from pathlib import Path

from featurestore.errors import ToolMissing
from featurestore.settings import environment

__all__ = ["cache_dir"]


def cache_dir(name: str) -> Path:
    """Make and give ``<cache>/<name>``; the cache is FEATURESTORE_CACHE, else ``~/.cache/featurestore``."""
    root = environment("FEATURESTORE_CACHE")
    folder = (Path(root).expanduser() if root else Path.home() / ".cache" / "featurestore") / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolMissing(
            f"cannot create the cache folder {folder}: {error.strerror}; "
            "set FEATURESTORE_CACHE to a folder that this user may write"
        ) from error
    return folder.resolve()
