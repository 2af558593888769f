"""Connecting: which URLs are valid, which state is refused, and what errors say."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, text, update

from featurestore.errors import SettingsError, StateError
from featurestore.stores.database import create_database
from featurestore.stores.tables import SCHEMA_VERSION, schema_version


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'made' / 'registry.db'}"


def test_sqlite_is_embedded_in_wal_mode_and_folders_are_made(url: str) -> None:
    with create_database(url) as database, database.read() as connection:
        assert database.is_embedded
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_opening_again_finds_the_tables(url: str) -> None:
    create_database(url).close()
    create_database(url).close()


def _change_then_fail(connection: Connection) -> None:
    connection.execute(update(schema_version).values(version=0))
    connection.execute(text("SELECT 1 FROM no_such_table"))


def test_a_block_that_raises_leaves_nothing(url: str) -> None:
    with create_database(url) as database:
        with pytest.raises(StateError, match="no such table"), database.write("scope") as connection:
            _change_then_fail(connection)
        with database.read() as connection:
            assert connection.execute(text("SELECT version FROM featurestore_schema")).scalar() == SCHEMA_VERSION


def test_readers_do_not_wait_for_a_writer(url: str) -> None:
    with create_database(url) as database, database.write("scope") as writer:
        writer.execute(update(schema_version).values(version=0))
        with database.read() as reader:
            assert reader.execute(text("SELECT version FROM featurestore_schema")).scalar() == SCHEMA_VERSION


def test_a_newer_schema_is_refused(url: str) -> None:
    with create_database(url) as database, database.write("scope") as connection:
        connection.execute(update(schema_version).values(version=9))
    with pytest.raises(StateError, match=f"has schema version 9; this release knows versions up to {SCHEMA_VERSION}:"):
        create_database(url)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(StateError, match=r"notes\.txt: file is not a database"):
        create_database(f"sqlite:///{path}")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://root:secret@host/db", "registry.db"])
def test_other_urls_are_refused_without_showing_secrets(url: str) -> None:
    with pytest.raises(SettingsError, match="valid are sqlite:///") as caught:
        create_database(url)
    assert "secret" not in str(caught.value)


def test_an_unreachable_server_is_an_error_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"registry database postgresql\+psycopg://me:\*\*\*@/db") as caught:
        create_database(f"postgresql://me:secret@/db?host={tmp_path}")
    assert "secret" not in str(caught.value)
