"""The log of served predictions: everything that was given out, once, whatever stops or fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.errors import QueueFull
from featurestore.serving.client import OnlineClient
from featurestore.serving.manifests import FixedManifests
from featurestore.serving.served_files import ServedFiles
from featurestore.serving.served_log import ServedLog, ServedRows
from featurestore.spec.dtypes import Int64
from tests.support.serving import NOW, PROJECT, World, field, scores, user_data
from tests.support.switchable import SwitchableModel

SCORE = "model_predictions:score"
FOLDER = "landing/served/model_predictions/v1-prediction"[:44]


def landed(root: Path) -> list[dict[str, object]]:
    """Read all files, in the order of their names; within one, of its rows."""
    files = sorted((root / "landing").rglob("*.parquet"), key=lambda path: path.name)
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def logged_world(root: Path, **overrides: object) -> tuple[World, SwitchableModel, ServedLog]:
    features, view = user_data(), scores(**overrides)
    world = World(features, view)
    world.point("model_predictions", covered_until_us=None)
    for user in (1, 2, 3):
        world.put(features, user, {"click_through_rate": user / 4, "number_of_clicks": user})
    world.predict(view, 1, 0.9, predicted_at=NOW - timedelta(hours=1))
    model, log = SwitchableModel(), ServedLog(ServedFiles(str(root), root / "spool"))
    world.client = OnlineClient(
        world.store,
        PROJECT,
        manifests=FixedManifests(world.manifest),
        clock=world.clock,
        predictor=model,
        log=log,
    )
    return world, model, log


def test_each_row_that_was_answered_is_logged_as_it_was_answered(tmp_path: Path) -> None:
    world, model, _ = logged_world(tmp_path)
    rows = [{"user_id": 1}, {"user_id": "2"}, {"user_id": 9}, {"user_id": None}]
    answer = world.client.get_online_features([SCORE], rows)
    assert answer["score"] == [0.9, 5.0, None, None]
    model.behaviour = "raises"
    world.client.get_online_features([SCORE], [{"user_id": 3}])
    world.client.close()
    logged = landed(tmp_path)
    assert [(row["user_id"], row["score"], row["served_status"], row["served_row"]) for row in logged] == [
        (1, 0.9, "CACHED", 0),
        (2, 5.0, "LIVE", 1),
        (9, None, "MISSING", 2),
        (None, None, "MISSING", 3),
        (3, None, "FAILED", 0),
    ]
    first, live, missing = logged[:3]
    assert len({row["served_request"] for row in logged[:4]}) == 1
    assert (first["served_at"], first["predicted_at"], first["inputs_timestamp"]) == (
        NOW,
        NOW - timedelta(hours=1),
        NOW,
    )
    assert (first["model_name"], first["model_version"], first["is_shadow"]) == ("m", "1", False)
    assert (live["predicted_at"], live["inputs_digest"]) == (NOW, first["inputs_digest"])
    assert (missing["model_version"], missing["predicted_at"], missing["inputs_digest"]) == (None, None, None)


def test_request_fields_are_logged_with_the_keys(tmp_path: Path) -> None:
    world, _, _ = logged_world(tmp_path, request=(field("hour", Int64),))
    world.client.get_online_features([SCORE], {"user_id": [2], "hour": ["7"]})
    world.client.close()
    assert [(row["user_id"], row["hour"], row["score"]) for row in landed(tmp_path)] == [(2, 7, 5.0)]


def rows_of(count: int, folder: str = FOLDER, *, start: int = 0) -> ServedRows:
    return ServedRows(
        folder=folder, count=count, table=lambda: pa.table({"n": pa.array(range(start, start + count), pa.int64())})
    )


def numbers(root: Path) -> list[object]:
    return sorted(row["n"] for row in landed(root))  # type: ignore[type-var]


def test_nothing_is_lost_when_many_write_more_than_may_wait(tmp_path: Path) -> None:
    log = ServedLog(ServedFiles(str(tmp_path), tmp_path / "spool"), file_rows=50, most_rows=80, seconds=60)

    def write(start: int) -> None:
        for number in range(start, start + 100):
            log.add(rows_of(5, start=number * 5))

    threads = [threading.Thread(target=write, args=(number * 100,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert numbers(tmp_path) == list(range(4000))
    assert not list(tmp_path.rglob("*.part"))


def test_rows_are_written_by_age_and_a_closed_log_can_be_used_again(tmp_path: Path) -> None:
    log = ServedLog(ServedFiles(str(tmp_path), tmp_path / "spool"), seconds=0.05)
    log.add(rows_of(3))
    for _ in range(200):
        if landed(tmp_path):
            break
        threading.Event().wait(0.02)
    assert numbers(tmp_path) == [0, 1, 2]
    log.close()
    log.add(rows_of(1, start=3))
    log.close()
    assert numbers(tmp_path) == [0, 1, 2, 3]


class FullDisk(ServedFiles):
    """Refuses to write while ``is_full``."""

    is_full = True

    def write(self, folder: str, table: pa.Table) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        super().write(folder, table)


def test_a_full_disk_keeps_rows_until_their_bound_and_then_refuses_instead_of_dropping(tmp_path: Path) -> None:
    files = FullDisk(str(tmp_path), tmp_path / "spool")
    log = ServedLog(files, file_rows=4, most_rows=8, seconds=60)
    for number in range(4):
        log.add(rows_of(2, start=2 * number))
    with pytest.raises(QueueFull, match=r"8 rows of the log .* cannot be written: .*No space left on device"):
        log.add(rows_of(1, start=8))
    files.is_full = False
    log.add(rows_of(1, start=8))
    log.close()
    assert numbers(tmp_path) == list(range(9))


def test_what_cannot_be_sent_to_a_store_elsewhere_waits_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, spool = tmp_path / "remote", tmp_path / "spool"
    remote.mkdir()
    address = remote.as_uri()
    files = ServedFiles(address, spool)
    monkeypatch.setattr("featurestore.filesystems.open_files", unreachable)
    first = ServedLog(files, seconds=60)
    first.add(rows_of(2))
    with pytest.raises(OSError, match="unreachable"):
        first.close()
    assert not list(remote.rglob("*")) and len(list(spool.rglob("*.parquet"))) == 1
    monkeypatch.undo()
    second = ServedLog(ServedFiles(address, spool), seconds=60)  # another process on the same folder
    second.add(rows_of(1, start=2))
    second.close()
    assert numbers(remote) == [0, 1, 2]
    assert not list(spool.rglob("*.parquet"))


def unreachable(address: str) -> None:
    raise OSError(f"{address} is unreachable")


PROGRAM = """
import os, sys
from pathlib import Path
from featurestore.serving.served_files import ServedFiles
from featurestore.serving.served_log import ServedLog
from tests.unit.serving.test_served_log import rows_of
root = Path(sys.argv[1])
log = ServedLog(ServedFiles(str(root), root / "spool"), seconds=60)
log.add(rows_of(3))
child = os.fork()
if child == 0:
    log.add(rows_of(1, start=3))
    log.close()
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_process_that_just_ends_writes_its_rows_and_a_forked_child_only_its_own(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert numbers(tmp_path) == [0, 1, 2, 3]


def test_without_a_log_a_lookup_notes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Callable[[], object]] = []
    monkeypatch.setattr("featurestore.serving.served_rows.served_rows", noted.append)
    world = World(user_data(), scores())
    world.client.get_online_features([SCORE], [{"user_id": 1}])
    assert noted == []
