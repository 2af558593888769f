"""Paths and addresses of data that is read without Spark."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import fs

from featurestore.filesystems import open_files


def test_a_path_is_of_the_local_file_system(tmp_path: Path) -> None:
    filesystem, path = open_files(str(tmp_path))
    assert isinstance(filesystem, fs.LocalFileSystem)
    assert filesystem.get_file_info(path).type == fs.FileType.Directory


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_buckets_open_as_spark_and_everyone_else_spell_them(scheme: str) -> None:
    filesystem, path = open_files(f"{scheme}://bucket/day=1/_SUCCESS?region=eu-north-1")
    assert (filesystem.type_name, path) == ("s3", "bucket/day=1/_SUCCESS")
