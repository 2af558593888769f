"""Real Redis servers of a test, each alone in its folder, and sockets that misbehave."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from featurestore.embedded.redis_server import find_redis_server
from tests.support.redis_nodes import redis_program

__all__ = ["listening", "locale_environment", "running_redis"]


@contextmanager
def running_redis(
    folder: Path, *options: str, environment: dict[str, str] | None = None, version: str | None = None
) -> Iterator[str]:
    """Run a server on a unix socket in ``folder`` (a short path) and give its URL."""
    path = folder / "redis.sock"
    command = [
        str(find_redis_server().path if version is None else redis_program(version)),
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, env={**os.environ, **(environment or {})}
    )
    try:
        with redis.Redis(unix_socket_path=str(path), retry=Retry(ConstantBackoff(0.02), 250)) as client:
            client.ping()
        yield f"unix://{path}"
    finally:
        process.kill()
        process.wait()


def locale_environment(folder: Path) -> dict[str, str] | None:
    """Build en_US.UTF-8 in ``folder`` and give the environment that selects it; None where it can't be built."""
    target = folder / "en_US.UTF-8"
    try:
        subprocess.run(["localedef", "-i", "en_US", "-f", "UTF-8", str(target)], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return {"LOCPATH": str(folder), "LC_ALL": "en_US.UTF-8"} if target.is_dir() else None


@contextmanager
def listening(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accept connections on a unix socket, give each to ``serve`` in a thread, and give the URL."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_serve, args=(connection, serve), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"unix://{path}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def _serve(connection: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    with connection:
        try:
            serve(connection)
        except OSError:
            return
