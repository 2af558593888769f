"""The definitions archive: the code that jobs and services run, as one zip named by its content."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

from featurestore.compile.modules import FirstParty, ModuleFile

__all__ = ["archive_name", "write_archive"]

_FIRST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def archive_name(digest: str) -> str:
    """Name the archive of a manifest's ``code`` digest."""
    return f"{digest}.zip"


def write_archive(repo: Path, package: str, folder: Path) -> tuple[str, Path]:
    """Zip the definitions and the first-party modules they reach; give the content digest and the path.

    Idempotent: equal code gives equal bytes under an equal name, moved into place in one step.
    """
    entries = sorted((_path_in_archive(module), module.path.read_bytes()) for module in _modules(repo, package))
    digest = hashlib.sha256()
    for name, content in entries:
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    code = digest.hexdigest()[:32]
    target = folder / archive_name(code)
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{archive_name(code)}.{os.getpid()}"
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries:
                info = zipfile.ZipInfo(name, _FIRST_ZIP_TIME)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                archive.writestr(info, content)
        partial.replace(target)
    return code, target


def _path_in_archive(module: ModuleFile) -> str:
    path = module.name.replace(".", "/")
    return f"{path}/__init__.py" if module.is_package else f"{path}.py"


def _modules(repo: Path, package: str) -> tuple[ModuleFile, ...]:
    first_party = FirstParty.at(repo)
    name = package.replace("/", ".")
    found = {module.name: module for module in first_party.members(name)}
    for member in tuple(found.values()):
        found |= {module.name: module for module in first_party.reached_from(member.name)}
    return tuple(found[key] for key in sorted(found))
