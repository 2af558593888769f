"""``python -m benchmarks``: measure, print the table, and keep it in ``results/``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.arena import SIZES, Arena
from benchmarks.figures import Figure, markdown
from benchmarks.protocol import ROOT
from benchmarks.rows import ROWS

RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    """Run the chosen groups one after the other; what was measured is kept group by group."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS), metavar="GROUP")
    parser.add_argument("--without-feast", action="store_true", help="measure what needs no rival")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    chosen.results.mkdir(parents=True, exist_ok=True)
    for group in chosen.rows:
        start, load = time.monotonic(), os.getloadavg()[0]
        figures: list[Figure] = []
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            Arena(Path(folder), SIZES[chosen.size], with_feast=not chosen.without_feast, plots=chosen.results) as arena,
        ):
            for figure in ROWS[group](arena):
                figures.append(figure)
                keep(
                    chosen.results, chosen.size, group, figures, f"Redis {arena.redis.version}, load {load:.1f} before"
                )
        print(f"\n## {group} ({time.monotonic() - start:.0f} s)\n\n{markdown(figures)}", flush=True)


def keep(folder: Path, size: str, group: str, figures: list[Figure], conditions: str) -> None:
    """Put a group's figures into ``<size>.json``, and write all groups there as ``<size>.md``."""
    path = folder / f"{size}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept[group] = {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, {conditions}",
        "figures": [figure.to_dict() for figure in figures],
    }
    ordered = {name: kept[name] for name in ROWS if name in kept}
    path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    parts = [f"# Results, size {size}\n"]
    for name, entry in ordered.items():
        rows = [Figure(**{key: value for key, value in row.items() if key != "verdict"}) for row in entry["figures"]]
        parts.append(
            f"## {name}\n\n{entry['measured']}, commit {entry['commit']}, {entry['machine']}\n\n{markdown(rows)}"
        )
    (folder / f"{size}.md").write_text("\n".join(parts), encoding="utf-8")


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
