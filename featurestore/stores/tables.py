"""The registry database's tables: instants are int64 microseconds since the epoch, documents canonical JSON text."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "SCHEMA_VERSION",
    "input_checks",
    "manifests",
    "metadata",
    "publications",
    "runs",
    "schema_version",
    "view_versions",
]

SCHEMA_VERSION = 2
"""Counts changes of these tables; a database of a newer version is refused, an older one gets the tables it lacks."""

metadata = MetaData()

schema_version = Table(
    "featurestore_schema",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)

manifests = Table(
    "manifests",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("applied_at_us", BigInteger, nullable=False),
)

view_versions = Table(
    "view_versions",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("view", String(255), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("fingerprint", String(128), nullable=False),
    Column("storage_id", Integer, nullable=False),
    Column("applied_at_us", BigInteger, nullable=False),
    UniqueConstraint("project", "view", "fingerprint"),
    UniqueConstraint("project", "storage_id"),
)
"""Rows are never deleted: that is why a storage id is never used again."""

runs = Table(
    "runs",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("view", String(255), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("end_us", BigInteger, primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("run_id", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("lease_until_us", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("counts", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("delta_version", BigInteger, nullable=True),
    Column("attempts", Integer, nullable=False),
    Column("claimed_at_us", BigInteger, nullable=True),
    Column("updated_at_us", BigInteger, nullable=False),
)

publications = Table(
    "publications",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("view", String(255), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("delta_version", BigInteger, primary_key=True, autoincrement=False),
    Column("published_at_us", BigInteger, primary_key=True, autoincrement=False),
    Column("covered_until_us", BigInteger, nullable=True),
    Column("sent", BigInteger, nullable=False),
    Column("ignored", BigInteger, nullable=False),
    Column("bytes_sent", BigInteger, nullable=False),
)

input_checks = Table(
    "input_checks",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("view", String(255), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("delta_version", BigInteger, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("checked", Text, nullable=False),
    Column("pending", Text, nullable=False),
    Column("checked_at_us", BigInteger, nullable=False),
)
"""The last comparison of a view version's coverage with its inputs, of which there is one row at most."""
