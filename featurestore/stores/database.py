"""The registry database's engine and transactions: SQLite on one machine, PostgreSQL otherwise."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError

from featurestore.errors import SettingsError, StateError, ToolMissing
from featurestore.stores.tables import SCHEMA_VERSION, metadata, schema_version

__all__ = ["Database", "create_database"]

_logger = logging.getLogger(__name__)
_LOCK_TIMEOUT_SECONDS = 30
_WRITES = "featurestore_writes"
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:scope, 0))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One registry database; threads may share it, a forked process opens its own.

    ``name`` is the URL without its password.
    """

    engine: Engine
    name: str
    is_embedded: bool

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state and waits for no writer."""
        options: dict[str, Any] = {} if self.is_embedded else {"isolation_level": "REPEATABLE READ"}
        with self._transaction(options) as connection:
            yield connection

    @contextmanager
    def write(self, scope: str) -> Iterator[Connection]:
        """Open a transaction that no other writer of ``scope`` runs beside; it commits unless the block raises.

        SQLite has one writer for the whole file (``BEGIN IMMEDIATE``: a deferred transaction that upgrades fails at
        once instead of waiting); PostgreSQL takes an advisory lock that the transaction's end gives back.
        """
        with self._transaction({_WRITES: True}) as connection:
            if not self.is_embedded:
                connection.execute(_LOCK, {"scope": scope})
            yield connection

    @contextmanager
    def _transaction(self, options: Mapping[str, Any]) -> Iterator[Connection]:
        try:
            with self.engine.execution_options(**options).begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StateError(
                f"registry database {self.name}: {error.orig}; see that it is reachable, writable and of this version",
                database=self.name,
            ) from error

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def create_database(url: str) -> Database:
    """Connect and make the tables that are absent; safe when several processes do so at the same time.

    ``url`` is ``sqlite:///path`` (folders are made) or ``postgresql://user:password@host/name``. A database whose
    tables a newer release made is refused by StateError.
    """
    parsed = _parse(url)
    is_embedded = parsed.get_backend_name() == "sqlite"
    if is_embedded:
        Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
    try:
        engine = create_engine(parsed, **_options(is_embedded))
    except ModuleNotFoundError as error:
        raise ToolMissing(
            f"{error.name} is not installed, and {parsed.drivername} needs it; install featurestore[postgres]"
        ) from error
    database = Database(
        engine=engine,
        name=parsed.render_as_string(hide_password=True),
        is_embedded=is_embedded,
    )
    if is_embedded:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        _switch_to_wal(database, str(parsed.database))
    if not _is_current(database):
        _create_tables(database)
    return database


def _parse(url: str) -> URL:
    valid = "valid are sqlite:///path/to/registry.db and postgresql://user:password@host:port/name"
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(f"registry: the value is no database URL; {valid}") from error
    match parsed.get_backend_name():
        case "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise SettingsError(f"registry: found {url!r}, a database of one connection; {valid}")
            return parsed
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise SettingsError(f"registry: found a {other} database; {valid}")


def _options(is_embedded: bool) -> dict[str, Any]:
    if is_embedded:
        return {"connect_args": {"timeout": _LOCK_TIMEOUT_SECONDS}}
    session = f"-c lock_timeout={_LOCK_TIMEOUT_SECONDS}s -c timezone=UTC"
    return {
        "pool_pre_ping": True,
        "pool_size": 2,
        "connect_args": {"options": session, "connect_timeout": 10},
    }


def _prepare_sqlite(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own: _begin_sqlite does
    connection.execute("PRAGMA synchronous=FULL")  # a lost storage id would be given out twice


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _switch_to_wal(database: Database, path: str) -> None:
    """Set WAL, which the file then keeps. SQLite doesn't wait for the lock this needs, so the loop does."""
    deadline = time.monotonic() + _LOCK_TIMEOUT_SECONDS
    while True:
        try:
            connection = sqlite3.connect(path, timeout=_LOCK_TIMEOUT_SECONDS, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise StateError(
                    f"registry database {database.name}: {error}",
                    database=database.name,
                ) from error
        except sqlite3.DatabaseError as error:
            raise StateError(f"registry database {database.name}: {error}", database=database.name) from error
        time.sleep(0.01)


def _is_current(database: Database) -> bool:
    with database.read() as connection:
        if not inspect(connection).has_table(schema_version.name):
            return False
        return _checked_version(database, connection) == SCHEMA_VERSION


def _create_tables(database: Database) -> None:
    with database.write("featurestore/schema") as connection:
        metadata.create_all(connection)
        found = _checked_version(database, connection)
        if found is None:
            connection.execute(insert(schema_version).values(id=1, version=SCHEMA_VERSION))
            _logger.info("made the tables of registry database %s", database.name)
        elif found < SCHEMA_VERSION:  # so far, versions have only added tables
            connection.execute(update(schema_version).values(version=SCHEMA_VERSION))
            _logger.info("registry database %s: schema version %d is now %d", database.name, found, SCHEMA_VERSION)


def _checked_version(database: Database, connection: Connection) -> int | None:
    found: int | None = connection.execute(select(schema_version.c.version)).scalar()
    if found is not None and found > SCHEMA_VERSION:
        raise StateError(
            f"registry database {database.name} has schema version {found}; this release knows versions up to"
            f" {SCHEMA_VERSION}: install the release that wrote it, or a newer one",
            database=database.name,
            found=found,
            valid=SCHEMA_VERSION,
        )
    return found
