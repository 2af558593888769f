"""The archive that gives a cluster's Python workers this package and what it needs: installed packages, no network."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from featurestore.embedded.spark_profile import packaged_jobs, packaged_spark_conf
from featurestore.errors import SettingsError, ToolMissing

__all__ = ["FOLDER", "PYTHON", "WorkerEnvironment", "pack_environment"]

PACKAGE = "featurestore"
FOLDER = "environment"
"""What the archive is unpacked as in a worker's folder: ``spark.archives <archive>#environment``."""
PYTHON = f"./{FOLDER}/bin/python"
"""The value of ``spark.pyspark.python``."""

_OF_SPARK = frozenset({"pyspark", "py4j"})
"""Spark brings its own, which must be the cluster's."""
_COMPRESSION = 3
_LAUNCHER = """#!/bin/sh
# The node's own Python with the packages that lie beside this file.
here=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd) || exit 1
python=${{FEATURESTORE_PYTHON:-python{version}}}
command -v "$python" >/dev/null || {{
    echo "$0: no $python on this node's PATH; install it, or set spark.executorEnv.FEATURESTORE_PYTHON" >&2
    exit 127
}}
PYTHONPATH="$here/lib${{PYTHONPATH:+:$PYTHONPATH}}" exec "$python" "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEnvironment:
    """A packed environment; ``packages`` are name and version of what is in it, ``bytes`` the archive's size."""

    path: Path
    packages: tuple[tuple[str, str], ...]
    bytes: int

    @property
    def settings(self) -> dict[str, str]:
        """The lines of a Spark profile that use it."""
        return {"spark.archives": f"{self.path}#{FOLDER}", "spark.pyspark.python": PYTHON}


def pack_environment(
    path: Path, *, extras: Iterable[str] = ("spark",), others: Iterable[str] = ()
) -> WorkerEnvironment:
    """Write a ``.tar.gz`` with this package, the packages of its ``extras`` and ``others``, and all that they need.

    They are copied from the environment of this Python, compiled parts included: the nodes need the same Python
    version, operating system and processor. pyspark stays out, for Spark brings it. Same packages, same bytes.
    """
    if not path.name.endswith((".tar.gz", ".tgz")):
        raise SettingsError(f"{path}: Spark unpacks archives by their name; valid are .tar.gz and .tgz")
    extras = tuple(extras)
    found = _closure([f"{PACKAGE}[{','.join(extras)}]" if extras else PACKAGE, *others])
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            temporary.open("wb") as file,
            gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=_COMPRESSION) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            launcher = _LAUNCHER.format(version=f"{sys.version_info.major}.{sys.version_info.minor}")
            _add_bytes(archive, "bin/python", launcher.encode(), mode=0o755)
            for name, file_path in sorted(set(_files(found.values()))):
                _add_bytes(archive, f"lib/{name}", file_path.read_bytes(), mode=0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    packages = tuple(sorted((name, entry.version) for name, entry in found.items()))
    return WorkerEnvironment(path=path.resolve(), packages=packages, bytes=path.stat().st_size)


def _closure(requirements: Iterable[str]) -> dict[str, Distribution]:
    """Find the distributions that the requirements need, by canonical name; ToolMissing names all that are absent."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, Distribution] = {}
    absent: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(Requirement(text), "asked for") for text in requirements]
    while todo:
        requirement, reader = todo.pop()
        name = canonicalize_name(requirement.name)
        wanted = [extra for extra in ("", *requirement.extras) if (name, extra) not in seen]
        if name in _OF_SPARK or not wanted:
            continue
        seen.update((name, extra) for extra in wanted)
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            absent[name] = reader
            continue
        for text in found[name].requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in wanted):
                todo.append((needed, f"needed by {name}"))
    if absent:
        listed = ", ".join(f"{name} ({reader})" for name, reader in sorted(absent.items()))
        raise ToolMissing(f"not installed in {sys.prefix}: {listed}; install them, then pack again", missing=[*absent])
    return found


def _files(distributions: Iterable[Distribution]) -> Iterator[tuple[str, Path]]:
    """Give each file with its name below the packages' folder; compiled bytecode and programs stay out."""
    own = Path(__file__).resolve().parents[1]
    for entry in distributions:
        for file in entry.files or ():
            if ".." in file.parts or file.is_absolute() or "__pycache__" in file.parts:
                continue
            is_own = entry.name == PACKAGE and not file.parts[0].endswith(".dist-info")
            if not is_own:
                yield file.as_posix(), Path(str(entry.locate_file(file)))
    # This package may be installed as a link to its source tree, where jobs and profiles lie beside it.
    for folder, name in ((own, ""), (packaged_jobs(), "_jobs/"), (packaged_spark_conf(), "_spark_conf/")):
        for path in folder.rglob("*"):
            inner = path.relative_to(folder)
            if path.is_file() and not {"__pycache__", "_jobs", "_spark_conf"} & set(inner.parts):
                yield f"{PACKAGE}/{name}{inner.as_posix()}", path


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
