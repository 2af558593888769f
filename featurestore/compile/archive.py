"""The definitions archive: the code that jobs and services run, as one zip named by its content."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from featurestore.compile.modules import FirstParty, ModuleFile
from featurestore.ir.content import archive_digest, archive_name, content_files

__all__ = ["write_archive"]

_FIRST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def write_archive(repo: Path, package: str, folder: Path, models: Iterable[str] = ()) -> tuple[str, Path]:
    """Zip the definitions folder and the first-party modules it reaches; give the content digest and the path.

    Files beside the modules are in it, and ``models``: files and folders anywhere in the repo. Hidden files and caches
    are not.
    Idempotent: equal code gives equal bytes under an equal name, moved into place in one step.
    """
    entries = sorted({**_entries(repo, package), **dict(_model_entries(repo, models))}.items())
    code = archive_digest(entries)
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


def _entries(repo: Path, package: str) -> dict[str, bytes]:
    name = package.strip("/").replace("/", ".")
    first_party = FirstParty.at(repo)
    found: dict[str, bytes] = {}
    for member in first_party.members(name):
        for module in first_party.reached_from(member.name):
            found[_path_in_archive(module)] = module.path.read_bytes()
    for path in content_files(repo.joinpath(*name.split("."))):
        found[path.relative_to(repo).as_posix()] = path.read_bytes()
    return found


def _model_entries(repo: Path, models: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for path in map(repo.joinpath, models):
        for file in [path] if path.is_file() else content_files(path):
            yield file.relative_to(repo).as_posix(), file.read_bytes()


def _path_in_archive(module: ModuleFile) -> str:
    path = module.name.replace(".", "/")
    return f"{path}/__init__.py" if module.is_package else f"{path}.py"
