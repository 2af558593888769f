"""``featurestore get-online-features``: one lookup, shown with status and age."""

from __future__ import annotations

from typing import Any

import click

from featurestore.cli.options import entity_row, open_store
from featurestore.cli.output import as_json, print_json, print_table, say
from featurestore.cli.services import ensure_redis
from featurestore.intervals import show_duration


@click.command("get-online-features", short_help="Look up features and predictions.")
@click.option("--entity", "-e", "entities", multiple=True, required=True, help="key=value[,key=value…]; one row each.")
@click.option("--feature", "-f", "features", multiple=True, help="view:feature; may be given again.")
@click.option("--service", "-s", help="A feature service, instead of --feature.")
@click.option("--full-names", is_flag=True, help="Name answers view__feature.")
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    entities: tuple[str, ...],
    features: tuple[str, ...],
    service: str | None,
    full_names: bool,
    json_output: bool,
) -> None:
    """Look up features and predictions of entities.

    \b
    featurestore get-online-features -e user_id=1 -f user_data:click_through_rate
    featurestore get-online-features -e carrier=UA,origin=EWR,dest=ORD -f late_arrival:probability_late
    """
    if bool(features) == bool(service):
        raise click.UsageError("name features by -f view:feature (again and again) or one service by -s, not both")
    store = open_store(ctx)
    ensure_redis(store.settings)
    rows = [entity_row(text) for text in entities]
    response = store.get_online_features(service or list(features), rows, full_feature_names=full_names)
    values = response.to_dict(include_event_timestamps=True)
    if json_output:
        print_json(
            {
                "values": response.to_dict(),
                "statuses": response.statuses,
                "event_timestamps": response.event_timestamps,
                "predictions": {view: list(map(_prediction, found)) for view, found in response.predictions.items()},
            }
        )
        return
    for number, row in enumerate(rows):
        say(", ".join(f"{key}={value}" for key, value in row.items()))
        print_table(
            ("feature", "value", "status", "event time"),
            [
                (name, values[name][number], statuses[number], response.event_timestamps[name][number])
                for name, statuses in response.statuses.items()
            ],
        )
        for view, found in response.predictions.items():
            status, age, model, predicted_at = found[number]
            shown = "" if age is None else f", {show_duration(age)} old"
            say(f"prediction {view}: {status}{shown}, model version {model}, predicted at {predicted_at}")


def _prediction(found: Any) -> dict[str, Any]:
    status, age, model, predicted_at = found
    return {
        "status": str(status),
        "age_seconds": None if age is None else age.total_seconds(),
        "model_version": model,
        "predicted_at": predicted_at,
    }
