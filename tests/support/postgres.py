"""A PostgreSQL server of its own for a test session, on a unix socket."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import psycopg

__all__ = ["PostgresServer"]


def _programs() -> Path | None:
    """Find the folder of ``initdb`` and ``pg_ctl``: Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda folder: int(folder.parent.name), default=None)


class PostgresServer:
    """Runs between ``with`` and its end; refuses to run as root, so root starts it as the ``postgres`` account."""

    def __init__(self) -> None:
        self.account = "postgres" if os.geteuid() == 0 else None
        self._numbers = itertools.count(1)

    @staticmethod
    def is_available() -> bool:
        return _programs() is not None

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="featurestore-postgres-"))
        if self.account:
            shutil.chown(self.folder, self.account)
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync")
        options = f"-c listen_addresses='' -c fsync=off -c max_connections=100 -k {self.folder}"
        self._run("pg_ctl", "--wait", "--silent", f"--log={self.folder / 'log'}", f"--options={options}", "start")
        return self

    def __exit__(self, *error: object) -> None:
        self._run("pg_ctl", "--wait", "--silent", "--mode=immediate", "stop")
        shutil.rmtree(self.folder)

    def create_database(self) -> str:
        """Make an empty database and give its URL."""
        name = f"test{next(self._numbers)}"
        with psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        folder = _programs()
        if folder is None:
            raise FileNotFoundError("no PostgreSQL server found; install the package postgresql")
        done = subprocess.run(
            [str(folder / program), *arguments],
            env={**os.environ, "PGDATA": str(self.folder / "data"), "LC_ALL": "C"},
            user=self.account,
            group=self.account,
            extra_groups=[] if self.account else None,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            check=False,
            timeout=60,
        )
        if done.returncode:
            log = self.folder / "log"
            raise RuntimeError(
                f"{program} failed: {(done.stderr or (log.read_bytes() if log.exists() else b'')).decode()}"
            )
