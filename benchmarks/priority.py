"""Let a process with all its children give way: it then stands for one on another machine."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["give_way"]

_LEAST = 19


def give_way(pid: int) -> int:
    """Give all threads of a process and its descendants the least priority (Linux); give how many there were."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # it has ended
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        process = waiting.pop()
        waiting += children.get(process, [])
        try:
            found += [int(task.name) for task in Path(f"/proc/{process}/task").iterdir()]
        except OSError:
            continue
    for thread in found:
        try:
            os.setpriority(os.PRIO_PROCESS, thread, _LEAST)
        except ProcessLookupError:
            continue
    return len(found)
