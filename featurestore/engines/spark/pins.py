"""The present state of a source, without a Spark job: a Delta version from its log, or a listing of files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pyarrow import fs

from featurestore.engines.base import SourcePin
from featurestore.errors import DefinitionError, InputNotReady, Problem
from featurestore.filesystems import open_files
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode, SourceNode

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["pin_source"]

_COMMIT = re.compile(r"(\d{20})\.json")


def pin_source(spark: SparkSession | None, source: SourceNode, *, resolve: Callable[[str], str]) -> SourcePin:
    """Name the state of a source; ``resolve`` makes a definition's path absolute.

    Cost: one listing, of the folder or of the Delta log. Only a Delta source named by
    catalogue ``table`` asks ``spark``. InputNotReady: there is nothing at the path.
    """
    match source:
        case FileSourceNode():
            return _pin_files(source, resolve(source.path))
        case DeltaSourceNode(path=str() as path):
            return _pin_delta(source, resolve(path))
        case DeltaSourceNode(table=str() as table) if spark is not None:
            last = spark.sql(f"DESCRIBE HISTORY {'.'.join(map(quote, table.split('.')))} LIMIT 1").first()
            return SourcePin(source=source.name, kind="delta", state={"version": last["version"] if last else 0})
        case _:
            raise DefinitionError(
                [
                    Problem(
                        location="sources",
                        object=source.name,
                        message=f"{type(source).__name__} has no batch rows to read; "
                        "valid are file sources and Delta sources with a path, or a table and a Spark session",
                    )
                ]
            )


def _pin_files(source: FileSourceNode, address: str) -> SourcePin:
    filesystem, base = open_files(address)
    found = filesystem.get_file_info(base)
    match found.type:
        case fs.FileType.NotFound:
            raise InputNotReady(
                f"source {source.name!r}: there is nothing at {address}; land the data, or correct the source's path",
                source=source.name,
                path=address,
            )
        case fs.FileType.Directory:
            listed = filesystem.get_file_info(fs.FileSelector(base, recursive=True))
            infos = [(str(PurePosixPath(info.path).relative_to(base)), info) for info in listed if info.is_file]
        case _:
            infos = [("", found)]
    files = sorted([name, info.size, info.mtime_ns] for name, info in infos if _is_data(name))
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return SourcePin(source=source.name, kind="files", state={"digest": digest, "files": files})


def _is_data(name: str) -> bool:
    """Skip what Spark skips: files and folders that begin with ``_`` or ``.``, but not partitions ``_x=1``."""
    return not any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in name.split("/"))


def _pin_delta(source: DeltaSourceNode, address: str) -> SourcePin:
    """Find the greatest version in the log; its commit's time tells a table from one made anew at the same path."""
    filesystem, base = open_files(address)
    listed = filesystem.get_file_info(fs.FileSelector(f"{base}/_delta_log", allow_not_found=True))
    commits = [(int(found[1]), info.mtime_ns) for info in listed if (found := _COMMIT.fullmatch(info.base_name))]
    if not commits:
        raise InputNotReady(
            f"source {source.name!r}: there is no Delta table at {address}; land the data, or correct the path",
            source=source.name,
            path=address,
        )
    version, mtime_ns = max(commits)
    return SourcePin(source=source.name, kind="delta", state={"version": version, "mtime_ns": mtime_ns})
