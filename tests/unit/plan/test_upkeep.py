"""What upkeep decides from a table's log: what pays, and what must stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from featurestore.plan.tile_upkeep import ObsoleteTiles
from featurestore.plan.upkeep import Hold, TableState, UpkeepPolicy, UpkeepStep, plan_table

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MIB = 1 << 20
POLICY = UpkeepPolicy(target_file_bytes=8 * MIB, min_small_files=4, retention=timedelta(days=7))


def plan(sizes: list[int], *holds: Hold, obsolete: int = 0) -> UpkeepStep:
    state = TableState(delta_version=9, folders=(tuple(sizes),), obsolete=obsolete)
    return plan_table("users v1", state, POLICY, holds, now=NOW)


@pytest.mark.parametrize(
    ("sizes", "pays", "reason"),
    [
        ([], False, "0 of 0 files are below 4 MiB; from 4 on they are merged"),
        ([MIB] * 3, False, "3 of 3 files are below 4 MiB; from 4 on they are merged"),
        ([MIB] * 4, True, "4 of 4 files are below 4 MiB; their 4.0 MiB fit into 1"),
        ([4 * MIB] * 40, False, "0 of 40 files are below 4 MiB; from 4 on they are merged"),
        ([8 * MIB] * 9 + [3 * MIB] * 8, True, "8 of 17 files are below 4 MiB; their 24.0 MiB fit into 3"),
    ],
)
def test_small_files_are_merged_once_there_are_enough_of_them(sizes: list[int], pays: bool, reason: str) -> None:
    compaction = plan(sizes).compaction
    assert (compaction.pays, compaction.reason) == (pays, reason)


def test_files_are_merged_with_others_of_their_folder() -> None:
    def found(*folders: tuple[int, ...]) -> tuple[bool, str]:
        state = TableState(delta_version=9, folders=folders, obsolete=0)
        compaction = plan_table("tiles", state, POLICY, (), now=NOW).compaction
        return compaction.pays, compaction.reason

    assert found(*[(MIB,)] * 9) == (
        False,
        "0 of 9 files are below 4 MiB and lie beside others; from 4 on they are merged",
    )
    assert found((MIB, MIB), (MIB, MIB, 8 * MIB), (MIB,)) == (
        True,
        "4 of 6 files are below 4 MiB and lie beside others; their 4.0 MiB fit into 2",
    )


@pytest.mark.parametrize(
    ("tiles", "small", "pays", "reason"),
    [
        (ObsoleteTiles(total=100), 0, False, "all of 100 rows count"),
        (ObsoleteTiles(total=100, count=19, files=3), 0, False, "from 20% or 4 whole files on they are deleted"),
        (ObsoleteTiles(total=100, count=20, files=3), 0, True, "in 3 files, 0 of which have no others"),
        (ObsoleteTiles(total=100, count=4, files=5, whole_files=4), 0, True, "in 5 files, 4 of which have no others"),
        (ObsoleteTiles(total=100, count=1, files=1), 4, True, "in 1 files; they go before files are merged"),
    ],
)
def test_rows_of_tiles_that_count_no_more_go_when_it_is_worth_it(
    tiles: ObsoleteTiles, small: int, pays: bool, reason: str
) -> None:
    state = TableState(delta_version=9, folders=((MIB,) * small,), obsolete=0, tiles=tiles)
    removal = plan_table("tiles", state, POLICY, (), now=NOW).removal
    assert removal is not None
    assert (removal.pays, removal.rows) == (pays, tiles.count)
    assert removal.reason.endswith(reason)


def test_a_table_with_nothing_to_do_is_not_due() -> None:
    step = plan([8 * MIB] * 3)
    assert not step.is_due
    assert step.vacuum.reason == "no file was replaced more than 7d ago"


def test_obsolete_files_go_when_nothing_holds_them() -> None:
    step = plan([], obsolete=5)
    assert step.vacuum.pays and step.is_due
    assert step.vacuum.reason == "5 files were replaced more than 7d ago, and nothing needs them"
    assert step.vacuum.retention == POLICY.retention


@pytest.mark.parametrize(("age", "pays"), [(timedelta(days=6), True), (timedelta(days=7), False)])
def test_what_someone_holds_stays_when_it_was_replaced_before_the_retention(age: timedelta, pays: bool) -> None:
    young = Hold(since=NOW - timedelta(hours=1), reason="a run")
    old = Hold(since=NOW - age, reason="the last publication reached Delta version 3 of 9; publish users first")
    vacuum = plan([], young, old, obsolete=5).vacuum
    assert vacuum.pays is pays
    if not pays:
        assert vacuum.reason == (
            "5 files were replaced more than 7d ago, but those replaced since 2026-02-22T00:00:00Z are needed: the "
            "last publication reached Delta version 3 of 9; publish users first"
        )
