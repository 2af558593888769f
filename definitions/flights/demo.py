"""The main job, end to end: land real flights, apply, let Airflow run the DAGs, look features and predictions up.

``make demo`` calls it. A second run finds everything done and says so; Ctrl-C stops all that was started.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from rich.console import Console
from rich.table import Table

from definitions.flights.feed import land
from definitions.flights.lookups import look_between_steps, repairs_table
from definitions.flights.replay import DATA_FOLDER, open_replay
from featurestore import FeatureStore
from featurestore.cli.services import airflow_server, create_pool, redis_server
from featurestore.embedded.airflow_api import AirflowApi, DagRun, TaskInstance
from featurestore.embedded.airflow_server import AirflowServer
from featurestore.errors import FeatureStoreError, StateError
from featurestore.intervals import show_duration, show_instant
from featurestore.plan.format import format_plan

__all__ = ["main"]

POLL_SECONDS = 1.0
RUN_MINUTES = 12
PATIENCE = 10
"""This many polls in a row may go without an answer of Airflow's API."""
SERVICE = "departure_board"
ROWS = 5
EXAMPLE = "carrier=UA,origin=EWR,dest=ORD,tailnum=N14228,departs_at=now"

console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)


class DemoFailed(Exception):
    """What failed, and what to do about it."""


def main() -> int:
    """Run the demo in the current folder; give an exit code."""
    repo = Path.cwd()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    store = FeatureStore(repo)
    with ExitStack() as started:
        started.callback(_say, "all that was started is stopped")
        started.callback(store.close)
        try:
            _demo(store, repo, started)
        except KeyboardInterrupt:
            _ignore_signals()
            console.print("\n[yellow]interrupted[/]: stopping what was started; `make demo` goes on from here")
            return 130
        except (DemoFailed, FeatureStoreError, OSError, DeltaError) as error:
            console.print("\n[bold red]demo failed[/]:", end=" ")
            _say(str(error))
            return 1
        finally:
            _ignore_signals()
    return 0


def _demo(store: FeatureStore, repo: Path, started: ExitStack) -> None:
    settings = store.settings
    phases: dict[str, float] = {}
    runs: dict[str, list[DagRun]] = {}
    with _phase("land the feed", phases):
        for landing in land(repo, datetime.now(UTC)):
            _say(f"{landing.table}: {landing.landed:,} new rows in {landing.commits} commits, {landing.total:,} in all")
    with _phase("apply the definitions", phases):
        if redis_server(settings).start():
            started.callback(redis_server(settings).stop)
        _say(format_plan(store.apply()))
    missing = _missing(store)
    if not missing:
        _title("Airflow has nothing to do")
        _say("every step up to today is computed, checked and published already; no work is done twice")
    else:
        server = airflow_server(settings)
        with _phase("start Airflow", phases):
            started.callback(server.stop)
            if not server.start():
                _say("it ran already, and is stopped at the end")
            create_pool(settings)
            _say(f"Airflow serves {server.url}")
        with _phase("run the DAGs", phases):
            _say(f"{sum(map(len, missing.values()))} steps of {len(missing)} views are missing")
            runs = _run_dags(server, store, open_replay(repo / DATA_FOLDER, datetime.now(UTC)).end)
        with _phase("stop Airflow", phases):
            server.stop()
    with _phase("look up", phases):
        flight = _look_up(store)
    with _phase("look up between two steps", phases):
        console.print(repairs_table(look_between_steps(store, flight)))
    _summary(store, phases, runs)


def _missing(store: FeatureStore) -> dict[str, list[Any]]:
    """Give the steps that are ready and not both computed and published, by view."""
    views = store.status()["views"]
    ready = {name: view["missing_intervals"] for name, view in views.items() if not view["waits_for"]}
    unpublished = {
        name: [view["covered_until"]]
        for name, view in views.items()
        if view["covered_until"] and view["published_until"] != view["covered_until"]
    }
    return {name: steps for name, steps in {**unpublished, **ready}.items() if steps}


def _run_dags(server: AirflowServer, store: FeatureStore, until: datetime) -> dict[str, list[DagRun]]:
    """Unpause the DAGs and follow their runs of days that have arrived until the scheduler has finished them."""
    api = AirflowApi(server.url)
    parsed = _await(api.dag_ids, "Airflow has parsed no DAG", api.import_errors, minutes=1)
    dag_ids = [dag_id for dag_id in parsed if not dag_id.endswith("__upkeep")]  # two months have few files yet
    _start_again(api, dag_ids, store)
    finished: dict[tuple[str, str, str], str] = {}
    deadline = time.monotonic() + RUN_MINUTES * 60
    silent = 0
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        try:
            runs = {dag_id: [run for run in api.runs(dag_id) if run.end and run.end <= until] for dag_id in dag_ids}
            for run in (run for found in runs.values() for run in found):
                _show_progress(api, run, finished)
            silent = 0
        except StateError:
            silent += 1
            if silent > PATIENCE:
                raise
            continue
        failed = [run for found in runs.values() for run in found if run.state == "failed"]
        if failed:
            raise DemoFailed(_failure(api, failed[0], server))
        if not _missing(store) and all(run.state == "success" for found in runs.values() for run in found):
            return runs
    raise DemoFailed(
        f"the DAG runs up to {show_instant(until)} did not end within {RUN_MINUTES} minutes; look at "
        f"{server.home}/logs, then run `make demo` again: it goes on where it stopped"
    )


def _start_again(api: AirflowApi, dag_ids: Sequence[str], store: FeatureStore) -> None:
    """Unpause the DAGs; runs that failed, or whose steps are missing again after a change, start anew."""
    missing = {tuple(step) for view in store.status()["views"].values() for step in view["missing_intervals"]}
    for dag_id in dag_ids:
        for run in api.runs(dag_id):
            interval = (show_instant(run.start), show_instant(run.end)) if run.start and run.end else None
            if run.state == "failed" or (run.state == "success" and interval in missing):
                api.clear(dag_id, run.run_id)
        api.unpause(dag_id)


def _show_progress(api: AirflowApi, run: DagRun, finished: dict[tuple[str, str, str], str]) -> None:
    """Print each task of a run once, when it has ended."""
    if finished.get((run.dag_id, run.run_id, "")) == "success":
        return
    for task in sorted(api.tasks(run), key=lambda task: task.task_id):
        key = (run.dag_id, run.run_id, task.task_id)
        if task.state in {"success", "failed", "up_for_retry"} and finished.get(key) != task.state:
            finished[key] = task.state
            if task.seconds >= 1:
                day = show_instant(run.start)[:10] if run.start else run.run_id
                _say(f"{day}  {task.task_id:<40} {task.state:<12} {task.seconds:5.1f} s")
    finished[(run.dag_id, run.run_id, "")] = run.state


def _failure(api: AirflowApi, run: DagRun, server: AirflowServer) -> str:
    failed: Sequence[TaskInstance] = [task for task in api.tasks(run) if task.state == "failed"]
    lines = [f"DAG {run.dag_id}, run {run.run_id} failed in {', '.join(task.task_id for task in failed)}."]
    if failed:
        lines += [line for line in api.log(run, failed[0]).splitlines() if line.strip()][-12:]
    lines.append(f"The logs lie in {server.home}/logs; mend the cause and run `make demo` again.")
    return "\n".join(lines)


def _look_up(store: FeatureStore) -> dict[str, str]:
    """Ask for real flights of the last landed day: features, on-demand features and a prediction in one call.

    Gives the first flight's carrier, origin and destination.
    """
    flights = DeltaTable(store.settings.absolute(f"{DATA_FOLDER}/flights")).to_pandas(
        columns=["carrier", "origin", "dest", "tailnum", "event_timestamp"]
    )
    last = flights.dropna().sort_values("event_timestamp").drop_duplicates("carrier", keep="last").tail(ROWS)
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = [
        {**row, "departs_at": now + timedelta(hours=2)}
        for row in last[["carrier", "origin", "dest", "tailnum"]].to_dict("records")
    ]
    started = time.perf_counter()
    first = store.get_online_features(SERVICE, rows)
    cold = time.perf_counter() - started
    started = time.perf_counter()
    response = store.get_online_features(SERVICE, rows)
    warm = time.perf_counter() - started
    values, predictions = response.to_dict(), response.predictions["late_arrival"]
    shown = ["late_share_7d", "mean_departure_delay_1d", "departures_1d", "hours_since_last_departure"]
    table = Table("flight", *shown, "probability late", "status", "age", "model", box=None, header_style="bold")
    for number, row in enumerate(rows):
        prediction = predictions[number]
        table.add_row(
            f"{row['carrier']} {row['origin']}-{row['dest']} {row['tailnum']}",
            *(_cell(values[name][number], response.statuses[name][number]) for name in shown),
            _cell(values["probability_late"][number], str(prediction.status)),
            str(prediction.status),
            "" if prediction.age is None else show_duration(prediction.age),
            str(prediction.model_version),
        )
    console.print(table)
    statuses = sorted({str(status) for column in first.statuses.values() for status in column})
    _say(
        f"{len(rows)} rows x {len(values) - 4} values in one round trip to Redis: {warm * 1000:.1f} ms "
        f"({cold * 1000:.0f} ms the first time); statuses {', '.join(statuses)}"
    )
    return {name: str(rows[0][name]) for name in ("carrier", "origin", "dest")}


def _summary(store: FeatureStore, phases: dict[str, float], runs: dict[str, list[DagRun]]) -> None:
    _title("Summary")
    status = store.status()
    table = Table("view", "steps until", "rows in Delta", "published until", box=None, header_style="bold")
    for name, view in status["views"].items():
        table.add_row(name, view["covered_until"], f"{view['rows']:,}", view["published_until"])
    console.print(table)
    settings = store.settings
    _say(f"intervals run by Airflow: {sum(len(found) for found in runs.values())}")
    _say("time: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in phases.items()))
    _say(f"Delta tables: {settings.offline_root}")
    _say(f"data docs: {settings.state_path / 'reports' / 'index.html'}")
    _say("Redis and Airflow are stopped; next:")
    for command in (
        "featurestore up                 # Redis and Airflow with its UI, going on with the schedule",
        "featurestore status",
        f"featurestore get-online-features -s {SERVICE} -e {EXAMPLE}",
        "featurestore plan               # after a change in definitions/flights",
    ):
        _say(f"  .venv/bin/{command}")


def _cell(value: Any, status: str) -> str:
    shown = "null" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
    return shown if status in {"PRESENT", "CACHED", "LIVE"} else f"{shown} ({status})"


def _await(ask: Callable[[], Any], problem: str, detail: Callable[[], Any], *, minutes: float) -> Any:
    deadline = time.monotonic() + minutes * 60
    while time.monotonic() < deadline:
        if found := ask():
            return found
        time.sleep(POLL_SECONDS)
    raise DemoFailed(f"{problem}: {detail()}")


@contextmanager
def _phase(name: str, phases: dict[str, float]) -> Iterator[None]:
    _title(name[0].upper() + name[1:])
    started = time.monotonic()
    yield
    phases[name] = time.monotonic() - started


def _title(text: str) -> None:
    console.print(f"\n[bold cyan]== {text}[/]")


def _say(text: str) -> None:
    console.print(text, markup=False)


def _ignore_signals() -> None:
    """Let nothing break off the stopping of services."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
