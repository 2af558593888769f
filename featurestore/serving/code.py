"""Where on-demand functions and models of a lookup come from: the archive that was applied, or the import path."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from featurestore.codec.keys import code_key
from featurestore.errors import StateError
from featurestore.ir.content import archive_digest, archive_name
from featurestore.ir.nodes import CodeRef
from featurestore.ondemand.functions import find_function, resolve
from featurestore.ondemand.isolated import IsolatedModules

__all__ = ["AppliedCode", "CodeCheck", "CodeSource", "ImportedCode"]

CodeCheck = Callable[[CodeRef], None]
"""Raises where the code that would run is not the code that was applied."""


class CodeSource(Protocol):
    """Gives user functions, once the records it wants were read."""

    def wanted(self, digest: str) -> tuple[bytes, ...]:
        """Name the records to read before code of the archive with this digest can run."""
        ...

    def take(self, digest: str, found: Sequence[bytes | None]) -> None:
        """Have the archive at hand; ``found`` are the records that ``wanted`` named."""
        ...

    def resolve(self, code: CodeRef, archive: str | None = None) -> Callable[..., Any]:
        """Give a function, from the archive with this digest; None is whichever archive has just this code."""
        ...


class ImportedCode:
    """Functions from the import path, on which ``folder`` (or a zip) is put; ``check`` is asked about each once."""

    def __init__(self, folder: Path | str | None = None, check: CodeCheck | None = None) -> None:
        self._check = check
        self._checked: set[CodeRef] = set()
        if folder is not None and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))

    def wanted(self, digest: str) -> tuple[bytes, ...]:
        return ()

    def take(self, digest: str, found: Sequence[bytes | None]) -> None:
        """Take nothing: the process has the code that it has."""

    def resolve(self, code: CodeRef, archive: str | None = None) -> Callable[..., Any]:
        if self._check is not None and code not in self._checked:
            self._check(code)
            self._checked.add(code)
        return resolve(code.path)


class AppliedCode:
    """Functions from the definitions archive of the manifest that a request sees, each archive apart from the others.

    Archives come from ``folder``, where ``apply`` leaves them, else from the online store; they are unpacked into a
    folder of this user's own. Modules that no archive has (an installed package) are imported as ever.
    """

    def __init__(self, project: str, folder: Path | None = None) -> None:
        self._project = project
        self._folder = folder
        self._unpacked: Path | None = None
        self._archives: dict[str, IsolatedModules] = {}
        self._functions: dict[CodeRef, Callable[..., Any]] = {}
        self._lock = threading.RLock()

    def wanted(self, digest: str) -> tuple[bytes, ...]:
        if digest in self._archives or self._stored(digest) is not None:
            return ()
        return (code_key(self._project, digest),)

    def take(self, digest: str, found: Sequence[bytes | None]) -> None:
        """Unpack the archive; StateError when it is nowhere, or not what its name says."""
        with self._lock:
            if digest not in self._archives:
                path = self._stored(digest)
                content = path.read_bytes() if path is not None else next(iter(found), None)
                if content is None:
                    raise StateError(
                        f"the code of project {self._project!r} (archive {digest}) is neither in "
                        f"{self._folder or 'a local folder'} nor in the online store; run `featurestore apply` against "
                        "this store, or give this process the project's folder",
                        project=self._project,
                        code=digest,
                    )
                self._archives[digest] = IsolatedModules(_unpack(digest, content), digest)
            self._unpacked = _own_folder() / digest

    def resolve(self, code: CodeRef, archive: str | None = None) -> Callable[..., Any]:
        """Give a function; one whose digest is the same is the same function, in whichever archive it first came."""
        with self._lock:
            function = self._functions.get(code)
            if function is None:
                module = code.path.partition(":")[0]
                holding = {name: modules for name, modules in self._archives.items() if modules.holds(module)}
                if not holding:
                    return resolve(code.path)
                modules = holding.get(archive or "") or self._having(code, holding)
                function = self._functions[code] = find_function(code.path, modules.load)
            return function

    def _having(self, code: CodeRef, holding: Mapping[str, IsolatedModules]) -> IsolatedModules:
        """Find the newest archive in which the function has just this code; StateError where none has."""
        from featurestore.compile.code import code_digest

        for name, modules in reversed(list(holding.items())):
            if code_digest(_own_folder() / name, code.path) == code.digest:
                return modules
        raise StateError(
            f"no archive that this process has seen holds the code of {code.path} with digest {code.digest}; ask again "
            "(definitions may have been applied meanwhile), or run `featurestore apply`",
            code=code.path,
        )

    def files(self) -> Path | None:
        """Give the folder with the files of the archive that was last taken; None before one was."""
        return self._unpacked

    def _stored(self, digest: str) -> Path | None:
        path = None if self._folder is None else self._folder / archive_name(digest)
        return path if path is not None and path.is_file() else None


def _unpack(digest: str, content: bytes) -> Path:
    """Unpack an archive under its digest, once for all processes of the user."""
    import zipfile

    target = _own_folder() / digest
    if target.is_dir():
        return target
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(name, archive.read(name)) for name in sorted(archive.namelist())]
    found = archive_digest(entries)
    if found != digest:
        raise StateError(f"the definitions archive {digest} has the content of {found}; run `featurestore apply`")
    partial = Path(tempfile.mkdtemp(dir=target.parent))
    for name, data in entries:
        path = partial / name
        if not path.resolve().is_relative_to(partial.resolve()):
            raise StateError(f"the definitions archive {digest} has an entry outside of it: {name!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        partial.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(partial)
    return target


def _own_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"featurestore-code-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise StateError(f"{folder} belongs to another user; set TMPDIR to a folder of your own")
    return folder
