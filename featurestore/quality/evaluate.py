"""Great Expectations on one Spark frame: the only file that knows it."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from featurestore.errors import ToolMissing
from featurestore.intervals import show_instant
from featurestore.ir.nodes import ExpectationNode
from featurestore.quality.results import RuleFailure

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.expectations.expectation import Expectation
    from pyspark.sql import DataFrame

__all__ = ["Evaluation", "evaluate"]

_SAMPLE_ROWS = 20
_LONGEST_ERROR = 400
_RULE = "rule"
# Counts and observed values only. Asking for no sample keeps all row-by-row rules in one shared aggregate.
_COUNTS = {"result_format": "BASIC", "partial_unexpected_count": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Rules that do not hold, in their order; ``page`` is Great Expectations' HTML of all results."""

    failures: tuple[RuleFailure, ...]
    page: str


def evaluate(
    frame: DataFrame, rules: Sequence[ExpectationNode], *, key_columns: Sequence[str], title: str
) -> Evaluation:
    """Evaluate all rules as one batch; those that fail once more, for a sample of their rows.

    Several rules share one Spark aggregate, so one that breaks it takes the others with it: rules that raised are
    evaluated again, each alone.
    """
    with _quiet():
        batch = _batch()
        expectations, errors = _build(rules)
        keys = [name for name in key_columns if name in frame.columns]
        sampled = {"result_format": "SUMMARY", "partial_unexpected_count": _SAMPLE_ROWS}
        if keys:
            sampled["unexpected_index_column_names"] = keys
        validation = _validate(batch, frame, expectations, _COUNTS, title)
        results = {_rule_number(result): result for result in validation.results}
        for number, result in results.items():
            error = _exception(result)
            if error or (not result.success and result.result.get("unexpected_count")):
                again = _validate(batch, frame, {number: expectations[number]}, sampled, title).results[0]
                if error or not _exception(again):
                    results[number] = again
        _put(validation, [*results.values()])
        errors |= {number: error for number, result in results.items() if (error := _exception(result))}
        failures = []
        for number, rule in enumerate(rules):
            if number in errors:
                failures.append(_unevaluated(rule, errors[number]))
            elif not results[number].success:
                failures.append(_failure(rule, results[number].result))
        return Evaluation(failures=tuple(failures), page=_render(validation))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Great Expectations' own log lines and warnings out; what it finds comes as results."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _batch() -> BatchDefinition[Any]:
    """Make a context that leaves nothing behind: in memory, no analytics, no progress bars."""
    try:
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig
    except ModuleNotFoundError as error:
        raise ToolMissing(
            f"{error.name} is not installed, and views with expectations need it; install featurestore[quality]"
        ) from error
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    source = context.data_sources.add_or_update_spark("gate", persist=False)
    return source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("rows")


def _build(rules: Sequence[ExpectationNode]) -> tuple[dict[int, Expectation], dict[int, str]]:
    """Make Great Expectations' objects; errors are by the rule's number too."""
    import great_expectations.expectations  # noqa: F401  # registers the core expectations
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.metadata_types import FailureSeverity
    from great_expectations.expectations.registry import get_expectation_impl

    built: dict[int, Expectation] = {}
    errors: dict[int, str] = {}
    for number, rule in enumerate(rules):
        try:
            kind = get_expectation_impl(rule.name)
            built[number] = kind(
                **json.loads(rule.arguments), severity=FailureSeverity(rule.severity), meta={_RULE: number}
            )
        except (GreatExpectationsError, ValidationError, TypeError, ValueError) as error:
            errors[number] = " ".join(str(error).split())
    return built, errors


def _validate(
    batch: BatchDefinition[Any],
    frame: DataFrame,
    expectations: Mapping[int, Expectation],
    result_format: Mapping[str, Any],
    title: str,
) -> ExpectationSuiteValidationResult:
    from great_expectations import ExpectationSuite
    from great_expectations.validator.v1_validator import Validator

    validator = Validator(batch, result_format=dict(result_format), batch_parameters={"dataframe": frame})
    return validator.validate_expectation_suite(ExpectationSuite(name=title, expectations=[*expectations.values()]))


def _put(validation: ExpectationSuiteValidationResult, results: list[ExpectationValidationResult]) -> None:
    """Put results of second evaluations into the first one, with its statistics."""
    from great_expectations.validator.validation_statistics import calc_validation_statistics

    statistics = calc_validation_statistics(results)
    validation.results, validation.success = results, statistics.success
    validation.statistics = {name: getattr(statistics, name) for name in validation.statistics}


def _render(validation: ExpectationSuiteValidationResult) -> str:
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    validation.meta["run_id"] = RunIdentifier(run_name=validation.suite_name)
    view: Any = DefaultJinjaPageView()
    return str(view.render(ValidationResultsPageRenderer().render(validation)))


def _rule_number(result: ExpectationValidationResult) -> int:
    configuration: Any = result.expectation_config
    return int(configuration.meta[_RULE])


def _exception(result: ExpectationValidationResult) -> str:
    """Give the message of what was raised, "" when nothing was; it comes bare or by metric."""
    found = result.exception_info or {}
    nested = [info for info in found.values() if isinstance(info, dict)] or [found]
    raised = [info for info in nested if info.get("raised_exception")]
    return " ".join(str(raised[0].get("exception_message")).split()) if raised else ""


def _unevaluated(rule: ExpectationNode, error: str) -> RuleFailure:
    return RuleFailure(
        name=rule.name,
        column=_column(rule),
        severity="critical",
        message=f"{_show(rule)} could not be evaluated: {shorten(error, _LONGEST_ERROR)}",
    )


def _failure(rule: ExpectationNode, result: Mapping[str, Any]) -> RuleFailure:
    observed, count = _plain(result.get("observed_value")), result.get("unexpected_count")
    sample = _sample(rule, result)
    if count is None:
        found = f"observed {json.dumps(observed, ensure_ascii=False)}"
    else:
        found = f"{count:,} of {result['element_count']:,} rows fail"
        found += f", such as {json.dumps(sample[0], ensure_ascii=False)}" if sample else ""
    return RuleFailure(
        name=rule.name,
        column=_column(rule),
        severity=rule.severity,
        message=f"{_show(rule)}: {found}",
        observed=observed,
        unexpected_count=count,
        sample=sample,
    )


def _sample(rule: ExpectationNode, result: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    rows = result.get("partial_unexpected_index_list")
    if rows is None:
        values = result.get("partial_unexpected_list") or ()
        rows = [value if isinstance(value, dict) else {_column(rule): value} for value in values]
    return tuple(_plain(row) for row in rows[:_SAMPLE_ROWS])


def _column(rule: ExpectationNode) -> str:
    arguments = json.loads(rule.arguments)
    named = [arguments.get(name) for name in ("column", "column_A", "column_B")]
    return ", ".join([*(name for name in named if name), *arguments.get("column_list", ())])


def _show(rule: ExpectationNode) -> str:
    arguments = json.loads(rule.arguments)
    return f"{rule.name}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def _plain(value: Any) -> Any:
    """Turn a value of a row into a JSON value; Spark gives instants without zone in the process's local time."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case datetime():
            return show_instant(value.astimezone(UTC))
        case date():
            return value.isoformat()
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case _:
            return str(value)
