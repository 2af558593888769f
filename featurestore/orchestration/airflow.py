"""Airflow DAGs from the manifest, and the operator that runs a job; the only module that imports Airflow."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from airflow.sdk import (
    DAG,
    Asset,
    BaseOperator,
    CronDataIntervalTimetable,
    DeltaDataIntervalTimetable,
    TaskGroup,
    TriggerRule,
    get_parsing_context,
)
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from featurestore.embedded.process import child_environment
from featurestore.embedded.spark_submit import resolve_spark_submit
from featurestore.intervals import Interval, parse_instant
from featurestore.ir.manifest import Manifest
from featurestore.ir.schedule import CronSchedule, PeriodSchedule, ScheduleNode
from featurestore.ir.serialize import manifest_from_json
from featurestore.orchestration.airflow_settings import SUBMIT_SLOTS
from featurestore.orchestration.commands import END, START, carried_views, fill_window, job_arguments
from featurestore.orchestration.graph import DagGraph, GateTask, SubmitTask, Task, ViewTask
from featurestore.orchestration.process import JobProcess
from featurestore.orchestration.project_graphs import project_graphs
from featurestore.orchestration.results import (
    JobResult,
    Verdict,
    VerdictKind,
    adopt,
    judge_submit,
    judge_view,
    parse_result,
)
from featurestore.settings import Settings, load_settings

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["Gate", "SparkSubmitJob", "build_dags", "load_dags"]

_ADOPTED = "adopted_attempt"


class Gate(BaseOperator):
    """Passed by the scheduler without a worker, as Airflow does with empty tasks."""

    inherits_from_empty_operator = True
    ui_color = "#f0f0f0"

    def execute(self, context: Context) -> None:
        return None


class SparkSubmitJob(BaseOperator):
    """Runs one job by spark-submit over the run's data interval, or takes its view's result from ``submit``.

    The job's result is the task's XCom. Exit codes and results are judged by ``results``.
    """

    template_fields = ("window_start", "window_end")
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        repo: str,
        spark_profile: str,
        arguments: tuple[str, ...],
        views: tuple[str, ...],
        submit: str | None = None,
        program: tuple[str, ...] = (),
        window_start: str = "{{ data_interval_start }}",
        window_end: str = "{{ data_interval_end }}",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.repo = repo
        self.spark_profile = spark_profile
        self.arguments = arguments
        self.views = views
        self.submit = submit
        self.program = program
        self.window_start = window_start
        self.window_end = window_end
        self.job = JobProcess()

    def execute(self, context: Context) -> Any:
        """Give the view's own result; a submit that carries several leaves its whole result in XCom."""
        if self.submit is not None and (entry := self._adopt(context)) is not None:
            self._end(judge_view(self.views[0], entry))
            return dict(entry)
        exit_code, result = self._run()
        if result is not None:
            value = {**result, "attempt": context["ti"].try_number}
            context["ti"].xcom_push(key="return_value", value=value)
        self._end(judge_submit(self.views, exit_code, result))
        return None

    def on_kill(self) -> None:
        self.job.kill()

    def _adopt(self, context: Context) -> Any:
        carried = context["ti"].xcom_pull(task_ids=self.submit)
        store = context.get("task_state_store")
        entry = adopt(carried, self.views[0], adopted=store.get(_ADOPTED) if store else None)
        if entry is None:
            self.log.info("%s left no result for %s to take; submitting for itself", self.submit, self.views[0])
        elif store:
            store.set(_ADOPTED, carried["attempt"])
        return entry

    def _run(self) -> tuple[int, JobResult | None]:
        arguments = self._arguments()
        if self.program:
            command, environment = [*self.program, *arguments], child_environment({})
        else:
            submit = resolve_spark_submit(self.spark_profile, repo=Path(self.repo))
            command, environment = [*submit.argv, *arguments], submit.process_environment()
        results: list[JobResult] = []

        def on_output(line: str) -> None:
            result = parse_result(line)
            if result is None:
                self.log.info("%s", line)
            else:
                results.append(result)

        self.log.info("running %s", " ".join(command))
        exit_code = self.job.run(
            command,
            environment=environment,
            on_output=on_output,
            on_log=lambda line: self.log.info("%s", line),
        )
        return exit_code, results[-1] if results else None

    def _arguments(self) -> tuple[str, ...]:
        if START not in self.arguments and END not in self.arguments:
            return self.arguments
        try:
            window = Interval(parse_instant(self.window_start), parse_instant(self.window_end))
        except ValueError as error:
            raise AirflowFailException(
                f"{self.task_id}: this run has no data interval ({error}); start it by the schedule or by "
                "`airflow backfill create`, or run the job itself with --start and --end"
            ) from error
        return fill_window(self.arguments, window)

    def _end(self, verdict: Verdict) -> None:
        match verdict.kind:
            case VerdictKind.SUCCESS:
                self.log.info("%s", verdict.message)
            case VerdictKind.FAIL:
                raise AirflowFailException(verdict.message)
            case VerdictKind.RETRY:
                raise AirflowException(verdict.message)
            case _:
                assert_never(verdict.kind)


def load_dags(repo: str | Path) -> dict[str, DAG]:
    """Build the DAGs of the project in ``repo`` by id; none before the first apply."""
    settings = load_settings(repo)
    if not settings.manifest_path.is_file():
        return {}
    return build_dags(manifest_from_json(settings.manifest_path.read_text(encoding="utf-8")), settings)


def build_dags(manifest: Manifest, settings: Settings, *, program: tuple[str, ...] = ()) -> dict[str, DAG]:
    """Build the DAGs of a manifest by id; ``program`` runs the jobs in the place of ``spark-submit``.

    Where Airflow parses the file to run a task of one DAG, only that DAG is built.
    """
    wanted = get_parsing_context().dag_id
    graphs = project_graphs(manifest, settings)
    return {
        graph.dag_id: _build_dag(graph, settings, program)
        for graph in graphs
        if wanted is None or graph.dag_id == wanted
    }


def _build_dag(graph: DagGraph, settings: Settings, program: tuple[str, ...]) -> DAG:
    options = settings.orchestration
    dag = DAG(
        dag_id=graph.dag_id,
        description=f"{graph.project}: {', '.join(graph.views)}"[:500],
        schedule=_timetable(graph.schedule),
        start_date=graph.start,
        catchup=options.catchup and graph.catches_up,
        max_active_runs=options.max_active_runs,
        default_args={
            "retries": options.retries,
            "retry_delay": timedelta(seconds=options.retry_delay_seconds),
            "pool": options.spark_pool,
            "weight_rule": "absolute",
        },
        tags=["featurestore", graph.project],
    )
    groups: dict[str, TaskGroup] = {}
    operators: dict[str, BaseOperator] = {}
    owners = {group.view: group.owner for group in graph.groups if group.owner}
    notes = {group.view: group.description for group in graph.groups}
    for task in graph.tasks():
        group = task.id.rpartition(".")[0]
        if group not in groups:
            groups[group] = TaskGroup(group, dag=dag, tooltip=notes.get(group, ""))
        common: dict[str, Any] = {"task_id": task.id.rpartition(".")[2], "dag": dag, "task_group": groups[group]}
        if group in owners:
            common["owner"] = owners[group]
        operators[task.id] = _operator(task, settings, program, common)
    for task in graph.tasks():
        if task.after:
            operators[task.id].set_upstream([operators[before] for before in task.after])
    return dag


def _operator(task: Task, settings: Settings, program: tuple[str, ...], common: dict[str, Any]) -> BaseOperator:
    if isinstance(task, GateTask):
        return Gate(trigger_rule=TriggerRule.ALL_DONE, **common)
    job: dict[str, Any] = {
        "repo": str(settings.repo),
        "spark_profile": settings.spark_profile,
        "arguments": job_arguments(task.stage, carried_views(task), settings=settings),
        "views": carried_views(task),
        "program": program,
        **common,
    }
    match task:
        case SubmitTask():
            rule = TriggerRule.ALL_DONE
            return SparkSubmitJob(trigger_rule=rule, pool_slots=SUBMIT_SLOTS, priority_weight=10, **job)
        case ViewTask():
            inlets, outlets = [Asset(uri) for uri in task.inlets], [Asset(task.outlet)] if task.outlet else []
            return SparkSubmitJob(submit=task.submit, inlets=inlets, outlets=outlets, **job)
        case _:
            assert_never(task)


def _timetable(schedule: ScheduleNode) -> CronDataIntervalTimetable | DeltaDataIntervalTimetable:
    """Give the timetable with data intervals: ``schedule="@daily"`` alone would give empty ones."""
    match schedule:
        case CronSchedule():
            return CronDataIntervalTimetable(schedule.expression, timezone="UTC")
        case PeriodSchedule():
            return DeltaDataIntervalTimetable(schedule.period)
        case _:
            assert_never(schedule)
