"""Fetch the two Delta jars that pyspark does not carry, once, with a checksum."""

from __future__ import annotations

import base64
import hashlib
import http.client
import logging
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from featurestore.embedded.cache import cache_dir
from featurestore.errors import ToolMissing
from featurestore.settings import environment

__all__ = ["DELTA_JARS", "DELTA_VERSION", "DeltaJar", "delta_jars", "missing_jars"]

DELTA_VERSION = "4.4.0"
PUBLIC_MAVEN = "https://repo1.maven.org/maven2"
_ATTEMPTS = 3
_TIMEOUT_SECONDS = 60
_CHUNK = 1 << 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaJar:
    """One jar of Delta: where a Maven repository has it, and what it must hash to."""

    artifact: str
    sha256: str
    version: str = DELTA_VERSION

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def repository_path(self) -> str:
        return f"io/delta/{self.artifact}/{self.version}/{self.file_name}"


DELTA_JARS: tuple[DeltaJar, ...] = (
    DeltaJar(
        artifact="delta-spark_4.2_2.13", sha256="27d4fd8b1f879535c573ed1c718177d6a27f24d3e626ba02e216369725721ead"
    ),
    DeltaJar(artifact="delta-storage", sha256="c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc"),
)


def delta_jars(jars: Sequence[DeltaJar] = DELTA_JARS) -> tuple[Path, ...]:
    """Give the paths of the jars, downloading what the cache lacks or holds damaged.

    Idempotent and safe for several processes at once: a jar appears under its name only whole and verified.
    Raises ToolMissing; nothing half-written stays.
    """
    folder = cache_dir("jars")
    for jar in missing_jars(jars):
        _download(jar, folder)
    return tuple(folder / jar.file_name for jar in jars)


def missing_jars(jars: Sequence[DeltaJar] = DELTA_JARS) -> tuple[DeltaJar, ...]:
    """Say which jars the cache lacks or holds with another checksum."""
    folder = cache_dir("jars")
    return tuple(jar for jar in jars if _sha256(folder / jar.file_name) != jar.sha256)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _download(jar: DeltaJar, folder: Path) -> None:
    base, headers = _without_credentials(environment("FEATURESTORE_MAVEN_MIRROR") or PUBLIC_MAVEN)
    url = f"{base}/{jar.repository_path}"
    target = folder / jar.file_name
    temporary = folder / f".{jar.file_name}.{os.getpid()}"
    started = time.monotonic()
    try:
        digest, size = _fetch(jar, urllib.request.Request(url, headers=headers), temporary, target)
        if digest != jar.sha256:
            raise ToolMissing(
                f"{jar.file_name} from {url} was refused: its SHA-256 is {digest} ({size} bytes), "
                f"expected {jar.sha256}; nothing was kept. Check FEATURESTORE_MAVEN_MIRROR, "
                f"or put the right file at {target}",
                url=url,
                found=digest,
                expected=jar.sha256,
            )
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    logger.info("fetched %s (%.1f MB) in %.1f s", jar.file_name, size / 1e6, time.monotonic() - started)


def _fetch(jar: DeltaJar, request: urllib.request.Request, temporary: Path, target: Path) -> tuple[str, int]:
    """Copy the response to ``temporary``; retry what may pass by itself."""
    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(2.0**attempt)
        try:
            return _copy(request, temporary)
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"HTTP {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 429):
                break
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            if isinstance(getattr(error, "reason", None), FileNotFoundError):
                break
    raise ToolMissing(
        f"cannot fetch {jar.file_name} from {request.full_url}: {reason}. Set FEATURESTORE_MAVEN_MIRROR to a Maven "
        f"repository that this machine reaches, or put the file (SHA-256 {jar.sha256}) at {target}",
        url=request.full_url,
        target=str(target),
    )


def _copy(request: urllib.request.Request, temporary: Path) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response, temporary.open("wb") as out:
        while chunk := response.read(_CHUNK):
            digest.update(chunk)
            size += out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest(), size


def _without_credentials(base: str) -> tuple[str, dict[str, str]]:
    """Split ``scheme://user:password@host`` into an address that may be shown and an Authorization header."""
    parts = urllib.parse.urlsplit(base.rstrip("/"))
    if parts.username is None:
        return base.rstrip("/"), {}
    user = urllib.parse.unquote(parts.username)
    password = urllib.parse.unquote(parts.password or "")
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return urllib.parse.urlunsplit(shown), {"Authorization": f"Basic {token}"}
