"""Where a process finds model files: in the repo's folder, or in the definitions zip that was applied."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from featurestore.errors import StateError
from featurestore.ir.content import content_digest
from featurestore.ir.nodes import ModelFileNode

__all__ = ["ModelFiles"]


class ModelFiles:
    """Model files under ``root``: a folder, or a zip, whose files are unpacked into a folder of this user's own.

    ``elsewhere`` gives another folder, for a file that the root lacks.
    """

    def __init__(self, root: Path | str, elsewhere: Callable[[], Path | None] | None = None) -> None:
        self._root = Path(root)
        self._elsewhere = elsewhere

    def find(self, model: ModelFileNode) -> Path:
        """Give the path of the file or folder, whose bytes are those that were applied; else StateError."""
        path = self._root / model.path if self._root.is_dir() else self._unpacked(model)
        other = None if path.exists() or self._elsewhere is None else self._elsewhere()
        if other is not None:
            path = other / model.path
        if not path.exists():
            raise StateError(
                f"there is no model file {model.path!r} in {self._root}; run `featurestore apply` where the file is, "
                "and give this process the repo or the definitions zip of that apply",
                path=model.path,
            )
        found = content_digest(path)
        if found != model.digest:
            raise StateError(
                f"model file {model.path!r} in {self._root} is not the one that was applied: its digest is {found}, "
                f"the manifest says {model.digest}. Run `featurestore apply`, or put the file back",
                path=model.path,
                found=found,
                expected=model.digest,
            )
        return path

    def _unpacked(self, model: ModelFileNode) -> Path:
        """Unpack the model from the zip, under a name made of its digest; done once for all processes of the user."""
        import zipfile

        folder = _own_folder()
        target = folder / model.digest / PurePosixPath(model.path).name
        if target.exists() or not self._root.is_file():
            return target
        partial = Path(tempfile.mkdtemp(dir=folder))
        try:
            with zipfile.ZipFile(self._root) as archive:
                inside = PurePosixPath(model.path)
                names = [name for name in archive.namelist() if PurePosixPath(name).is_relative_to(inside)]
                archive.extractall(partial, names)
            if names:
                _take_over(partial / inside, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return target


def _take_over(unpacked: Path, target: Path) -> None:
    """Move into place in one step; another process may have been faster."""
    target.parent.mkdir(exist_ok=True)
    try:
        unpacked.rename(target)
    except OSError:
        if not target.exists():
            raise


def _own_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"featurestore-models-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise StateError(f"{folder} belongs to another user; set TMPDIR to a folder of your own")
    return folder
