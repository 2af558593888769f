"""What a plan says of changed definitions and of steps that are due."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from featurestore.intervals import Coverage, Interval
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import DeltaSourceNode, FieldNode, FileSourceNode, ServiceNode, StoredViewNode
from featurestore.plan.amounts import SourcePart
from featurestore.plan.cost import PastRun, WorkCost
from featurestore.plan.diff import ChangeKind, diff_manifests
from featurestore.plan.format import format_plan, plan_to_dict
from featurestore.plan.plan import Plan, build_plan
from featurestore.spec.dtypes import Float64, Int64
from tests.support.nodes import START, aggregate_view, clicks, manifest_of, plain_view, prediction_view

NOW = START + timedelta(days=10, hours=1)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A ledger row of a done run."""

    counts: Mapping[str, int]
    claimed_at: datetime | None
    updated_at: datetime = NOW
    delta_version: int | None = 1


@dataclass(frozen=True)
class Sent:
    sent: int
    bytes_sent: int


@dataclass(frozen=True)
class Past:
    """A ledger's history as plain values, by view and version."""

    covered: Mapping[tuple[str, int], Coverage] = field(default_factory=dict)
    done: Mapping[tuple[str, int], Sequence[PastRun]] = field(default_factory=dict)
    published: Mapping[tuple[str, int], Sequence[Sent]] = field(default_factory=dict)

    def coverage(self, view: str, version: int) -> Coverage:
        return self.covered.get((view, version), Coverage())

    def runs(self, view: str, version: int, within: Interval | None = None) -> Sequence[PastRun]:
        return self.done.get((view, version), ())

    def publications(self, view: str, version: int) -> Sequence[Sent]:
        return self.published.get((view, version), ())


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Statistics of stored data, by source, and by view and version."""

    parts: Mapping[str, Sequence[SourcePart]] = field(default_factory=dict)
    rows: Mapping[tuple[str, int], float] = field(default_factory=dict)

    def source_parts(self, source: FileSourceNode | DeltaSourceNode) -> Sequence[SourcePart] | None:
        return self.parts.get(source.name)

    def row_bytes(self, view: StoredViewNode) -> float | None:
        return self.rows.get((view.name, view.version))


def days(start: int, end: int) -> Interval:
    return Interval(START + timedelta(days=start), START + timedelta(days=end))


def plan(old: Manifest | None, new: Manifest, ledger: Past | None = None, **overrides: object) -> Plan:
    return build_plan(old, new, ledger=ledger or Past(), now=NOW, **overrides)  # type: ignore[arg-type]


OLD = manifest_of(aggregate_view(version=1), prediction_view(version=1))


def test_equal_manifests_differ_in_nothing_whatever_their_stamps() -> None:
    stamped = manifest_of(aggregate_view(version=7, storage_id=3), prediction_view(version=2))
    assert diff_manifests(OLD, replace(stamped, generation=5, code="zip")) == ()


def test_the_first_apply_creates_everything() -> None:
    changes = diff_manifests(None, OLD)
    assert [(change.kind, change.object, change.name) for change in changes] == [
        (ChangeKind.CREATED, "entity", "user"),
        (ChangeKind.CREATED, "source", "clicks"),
        (ChangeKind.CREATED, "feature view", "stats"),
        (ChangeKind.CREATED, "prediction view", "score"),
    ]


def test_changed_fields_are_named_by_their_path() -> None:
    feature = FieldNode(name="total", dtype=Float64)
    new = manifest_of(
        aggregate_view(ttl=timedelta(days=30), features=(feature,), fingerprint="other"), prediction_view(owner="me")
    )
    stats, score = diff_manifests(OLD, new)
    assert [(f.path, f.before, f.after) for f in stats.fields] == [
        ("features[total].dtype", "int64", "float64"),
        ("ttl", "null", "30d"),
    ]
    assert stats.affects_data and not score.affects_data


def test_a_view_that_reads_what_changed_says_so() -> None:
    new = manifest_of(aggregate_view(), prediction_view(fingerprint="other"))
    (change,) = diff_manifests(OLD, new)
    assert change.affects_data and not change.fields
    assert "what it reads has changed" in format_plan(plan(OLD, new))


def test_a_changed_source_schema_is_an_entry() -> None:
    wider = clicks(schema=(*clicks().schema, FieldNode(name="page", dtype=Int64)))
    (change,) = diff_manifests(OLD, replace(OLD, sources={"clicks": wider}))
    assert (change.object, change.affects_data) == ("source", True)
    assert [(f.path, f.before, f.after) for f in change.fields] == [
        ("schema[page].name", None, "page"),
        ("schema[page].dtype", None, "int64"),
    ]


def test_steps_that_have_ended_and_are_not_covered_are_due() -> None:
    ledger = Past({("stats", 1): Coverage.of([days(0, 4)])})
    made = plan(OLD, OLD, ledger)
    assert [(work.view, work.steps, work.ranges, work.is_new) for work in made.work] == [
        ("stats", 6, (days(4, 10),), False),
        ("score", 10, (days(0, 10),), True),
    ]


def test_a_new_fingerprint_has_no_data_and_an_old_one_finds_its_own() -> None:
    ledger = Past({("stats", 1): Coverage.of([days(0, 10)]), ("stats", 2): Coverage.of([days(0, 9)])})
    changed = manifest_of(aggregate_view(fingerprint="other"))
    (work,) = plan(OLD, changed, ledger).work
    assert (work.steps, work.is_new) == (10, True)
    (work,) = plan(OLD, changed, ledger, applied={("stats", "other"): 2}).work
    assert (work.steps, work.ranges) == (1, (days(9, 10),))


def test_estimates_are_medians_of_earlier_runs() -> None:
    runs = [Run(counts={"rows_appended": n}, claimed_at=NOW - timedelta(seconds=n)) for n in (4, 6, 50)]
    past = Past(done={("stats", 1): [*runs, Run(counts={}, claimed_at=None, delta_version=None)]})
    (work,) = plan(OLD, manifest_of(aggregate_view(fingerprint="other")), past).work
    assert (work.cost.rows, work.cost.seconds, work.cost.basis) == (60, 60.0, "3 runs of version 1")
    assert work.unknown == ("core-minutes", "bytes read", "bytes in Delta", "Redis")


def test_runs_of_many_steps_speak_for_steps_and_statistics_for_their_rows_in_delta() -> None:
    counts = {"rows_appended": 900, "steps": 30, "task_ms": 60_000, "input_bytes": 3_000_000}
    runs = [
        Run(counts=counts, claimed_at=NOW - timedelta(seconds=90)),
        *(Run(counts={"rows_appended": 500}, claimed_at=NOW - timedelta(seconds=50)) for _ in range(40)),
    ]
    past = Past(done={("stats", 1): runs})
    statistics = Stored(rows={("stats", 1): 20.0})
    (work,) = plan(OLD, manifest_of(aggregate_view(fingerprint="other")), past, statistics=statistics).work
    assert work.cost == WorkCost(
        basis="1 run of version 1",
        rows=300,
        seconds=30.0,
        core_seconds=20.0,
        read_bytes=1_000_000,
        delta_bytes=6_000,
    )


def test_a_view_without_history_is_estimated_by_what_its_runs_will_read() -> None:
    part = SourcePart(rows=1000, size=20_000, least=START, greatest=START + timedelta(days=20))
    statistics = Stored(parts={"clicks": [part]})
    new = manifest_of(plain_view(), aggregate_view())
    ledger = Past(done={("other", 1): [Run(counts={"task_ms": 4000, "input_bytes": 1_000_000}, claimed_at=NOW)]})
    made = plan(None, new, ledger, statistics=statistics, applied={("other", "f"): 1})
    work = {entry.view: entry for entry in made.work}
    # Ten of twenty days; the aggregate view's one run reads no more, since nothing lies before its start.
    assert (work["plain"].cost.rows, work["plain"].cost.read_bytes) == (500, 10_000)
    assert (work["stats"].cost.rows, work["stats"].cost.read_bytes) == (None, 10_000)
    assert work["stats"].cost.core_seconds == 0.04
    assert work["stats"].cost.basis == "statistics of clicks, core-minutes by other views' runs"
    assert work["stats"].unknown == ("rows", "time", "bytes in Delta", "Redis")
    assert "unknown: rows, time, bytes in Delta, Redis" in format_plan(made)
    assert plan(None, new, ledger).work[0].unknown == (
        "rows",
        "time",
        "core-minutes",
        "bytes read",
        "bytes in Delta",
        "Redis",
    )


def test_a_rename_and_a_missing_start_are_warned_of() -> None:
    made = plan(
        OLD,
        manifest_of(aggregate_view(name="renamed"), plain_view(start=None)),
        warnings=["from compile"],
    )
    assert made.warnings == (
        "from compile",
        "plain has a schedule but no start, so no step is due; give it start=",
        "stats is removed: lookups of it fail from then on; its table and its online rows stay",
        "renamed equals stats under another name; its data is computed anew",
        "score is removed: lookups of it fail from then on; its table and its online rows stay",
    )


def test_the_text_shows_changes_work_and_estimates() -> None:
    new = manifest_of(
        aggregate_view(fingerprint="other", data_delay=timedelta(hours=2)),
        plain_view(start=NOW),
        services={"all": ServiceNode(name="all", features=())},
    )
    past = Past(done={("stats", 1): [Run(counts={"rows_appended": 1200}, claimed_at=NOW - timedelta(seconds=9))]})
    assert format_plan(plan(OLD, new, past)).splitlines() == [
        "Project shop: 4 changes, 10 steps to compute in 1 view.",
        "",
        "Definitions",
        "  + feature view plain",
        "  ~ feature view stats  (values change: new version)",
        "      data_delay: 0s -> 2h",
        "  - prediction view score",
        "  + service all",
        "",
        "To compute",
        "  stats  10 steps  2026-01-01 to 2026-01-11",
        "         about 12,000 rows, 1m 30s in all  (by 1 run of version 1)",
        "         unknown: core-minutes, bytes read, bytes in Delta, Redis",
        "",
        "Warnings",
        "  ! score is removed: lookups of it fail from then on; its table and its online rows stay",
    ]


def test_nothing_to_do_is_one_line_and_plain_json() -> None:
    covered = Past({(name, 1): Coverage.of([days(0, 10)]) for name in ("stats", "score")})
    made = plan(OLD, OLD, covered)
    assert made.is_empty
    assert format_plan(made) == "Project shop: no changes, nothing to compute."
    assert json.loads(json.dumps(plan_to_dict(plan(None, OLD))))["steps"] == 20


def test_what_a_new_version_takes_beside_the_old_is_estimated_from_its_publications() -> None:
    ledger = Past(published={("stats", 1): [Sent(1_000_000, 40_000_000), Sent(500, 20_000), Sent(0, 0)]})
    new = manifest_of(aggregate_view(fingerprint="other"), prediction_view(version=1))
    work = {entry.view: entry for entry in plan(OLD, new, ledger).work}
    assert work["stats"].online_bytes == 40_000_000 + 98 * 1_000_000
    assert work["score"].online_bytes is None
    assert "138.0 MB more in Redis while the version before stays" in format_plan(plan(OLD, new, ledger))
    unchanged = plan(OLD, OLD, ledger)
    assert [entry.online_bytes for entry in unchanged.work] == [None] * len(unchanged.work)
