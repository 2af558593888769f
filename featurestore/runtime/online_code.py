"""The definitions archive in the online store: SDK processes without the project's folder take user code from it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from featurestore.codec.keys import code_key, codes_key
from featurestore.stores.base import OnlineStore

__all__ = ["code_keys", "keep_code", "read_code"]

logger = logging.getLogger(__name__)

_MOST_BYTES = 32 << 20


def keep_code(online: OnlineStore, project: str, digest: str, archive: Path) -> None:
    """Store the archive, and keep the one before it: requests under way may still see its manifest. Idempotent.

    An archive beyond 32 MiB is left out: Redis is no place for big model files.
    """
    content = archive.read_bytes()
    if len(content) > _MOST_BYTES:
        logger.warning(
            "definitions archive %s has %d MiB and is not kept in the online store; lookups that run user code need "
            "the project's folder",
            digest,
            len(content) >> 20,
        )
        return
    stored = _stored(online, project)
    kept = [digest, *(other for other in stored if other != digest)][:2]
    online.put_record(code_key(project, digest), content)
    online.put_record(codes_key(project), json.dumps(kept).encode())
    online.delete([code_key(project, other) for other in stored if other not in kept])


def read_code(online: OnlineStore, project: str, digest: str) -> bytes | None:
    """Give the archive with this digest; None where it was not kept."""
    return online.read([code_key(project, digest)])[0]


def code_keys(online: OnlineStore, project: str) -> list[bytes]:
    """Give the keys of all that ``keep_code`` stored."""
    return [codes_key(project), *(code_key(project, digest) for digest in _stored(online, project))]


def _stored(online: OnlineStore, project: str) -> list[str]:
    record = online.read([codes_key(project)])[0]
    return [] if record is None else [str(digest) for digest in json.loads(record)]
