"""How verbs that run stages print what came of them."""

from __future__ import annotations

from featurestore.cli.output import complain, print_json, print_table
from featurestore.errors import ExitCode
from featurestore.intervals import show_instant
from featurestore.runtime.results import JobResult

__all__ = ["print_result"]


def print_result(result: JobResult, *, json_output: bool) -> ExitCode:
    """Print a job's result, and give its exit code."""
    if json_output:
        print_json(result.to_dict())
        return result.exit_code
    rows = []
    for view in result.views:
        published = view.published
        rows.append(
            (
                view.view,
                view.outcome.name.lower().replace("_", " "),
                len(view.intervals),
                show_instant(view.intervals[-1].interval.end) if view.intervals else "",
                f"{view.rows:,}",
                "" if published is None else f"{published.sent:,}",
                f"{view.seconds:.1f} s",
            )
        )
    print_table(("view", "outcome", "steps", "up to", "rows", "published", "time"), rows)
    for view in result.views:
        if view.error:
            complain(str(view.error["message"]))
    return result.exit_code
