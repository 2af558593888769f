"""Delta tables as they will be some time later."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

__all__ = ["let_time_pass"]

_MILLISECOND = timedelta(milliseconds=1)
_COMMITTED_AT = re.compile(r'("commitInfo":\{"timestamp":)(\d+)')


def let_time_pass(folder: Path, passed: timedelta) -> None:
    """Let the commits of all tables under a folder have been made so much earlier; files are as old as they were."""
    for path in folder.rglob("_delta_log/*.json"):
        text = path.read_text("utf-8")
        (at,) = (int(found[2]) for found in _COMMITTED_AT.finditer(text))
        earlier = at - passed // _MILLISECOND
        path.write_text(_COMMITTED_AT.sub(rf"\g<1>{earlier}", text), encoding="utf-8")
        path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
