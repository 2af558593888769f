"""The Redis server that contestants share, and Feast's environment."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from benchmarks.protocol import ROOT
from featurestore.embedded.redis_server import find_redis_server

__all__ = ["SharedRedis", "feast_python", "running_redis"]

_FEAST = ROOT / ".build" / "feast"
_REQUIREMENTS = ROOT / "benchmarks" / "feast" / "requirements.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRedis:
    """A server on a port of the loopback interface: Feast takes no unix socket."""

    host: str
    port: int
    version: str

    @property
    def url(self) -> str:
        return self.database(0)

    def database(self, number: int) -> str:
        """Give the URL of one of the server's databases."""
        return f"redis://{self.host}:{self.port}/{number}"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def client(self) -> Redis:
        return Redis(host=self.host, port=self.port)


@contextmanager
def running_redis(folder: Path) -> Iterator[SharedRedis]:
    """Run an empty server that keeps nothing on disk."""
    binary = find_redis_server()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen([str(binary.path), *options], stdout=subprocess.DEVNULL)
    try:
        with Redis(port=port, retry=Retry(ConstantBackoff(0.02), 250)) as client:
            client.ping()
        yield SharedRedis(host="127.0.0.1", port=port, version=binary.version)
    finally:
        process.kill()
        process.wait()


def feast_python() -> Path:
    """Give the Python of Feast's environment, made at the first call: Feast needs another pandas than Spark does."""
    python, installed = _FEAST / "bin" / "python", _FEAST / "requirements.txt"
    wanted = _REQUIREMENTS.read_bytes()
    if not installed.is_file() or installed.read_bytes() != wanted:
        shutil.rmtree(_FEAST, ignore_errors=True)
        uv = str(ROOT / "scripts" / "uv.sh")
        base = ROOT / ".venv" / "bin" / "python"
        subprocess.run([uv, "venv", "--quiet", "--python", str(base), str(_FEAST)], check=True)
        subprocess.run(
            [uv, "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(_REQUIREMENTS)], check=True
        )
        installed.write_bytes(wanted)
    return python
