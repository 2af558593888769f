"""Each mistake in a feature view is told once, by what was found and what is valid."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from featurestore import (
    Aggregation,
    BatchFeatureView,
    Entity,
    Expectation,
    Field,
    FileSource,
    KafkaSource,
    PushSource,
    RequestSource,
)
from featurestore.errors import DefinitionError
from featurestore.types import Bool, Decimal, Float32, Float64, Int32, Int64, String, Timestamp
from tests.support.definitions import (
    START,
    aggregate_definition,
    clicks_source,
    compile_objects,
    user_entity,
    view_definition,
)

DAY = timedelta(days=1)
SCORE = [Field(name="score", dtype=Float64)]


def messages(*objects: Any) -> list[str]:
    with pytest.raises(DefinitionError) as raised:
        compile_objects(*objects)
    return [problem.message for problem in raised.value.problems]


def module_function(clicks: Any) -> Any:
    return clicks


def local_function() -> Any:
    def inner(clicks: Any) -> Any:
        return clicks

    return inner


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"schema": [Field(name="pgae", dtype=String)]}, "schema: unknown column 'pgae' (did you mean 'page'?)"),
        ({"schema": [Field(name="page", dtype=Int64)]}, "column 'page' has type string in the source"),
        ({"schema": [Field(name="clicked", dtype=Int32)]}, "column 'clicked' has type int64 in the source"),
        ({"source": None}, "has no source"),
        ({"entities": []}, "has no entities"),
        (
            {"entities": [Entity(name="user", join_keys=["user"], dtypes=[Int64])]},
            "lacks the join key: unknown column 'user' (did",
        ),
        ({"entities": [user_entity(dtypes=())]}, "join key 'user_id' has type int64 in source 'clicks' and string"),
        ({"schedule": "daily"}, "schedule: 'daily' is no schedule"),
        ({"schedule": timedelta(seconds=1)}, "a period is a positive whole number of minutes"),
        ({"start": None}, "has no start"),
        ({"ttl": -DAY}, "ttl=datetime.timedelta(days=-1) is not valid"),
        ({"late_data": -DAY}, "late_data=datetime.timedelta(days=-1) is not valid"),
        ({"data_delay": -DAY}, "data_delay=datetime.timedelta(days=-1) is not valid"),
        ({"freshness": timedelta(0)}, "freshness=datetime.timedelta(0) is not valid"),
        ({"on_expired": "keep"}, "on_expired='keep' is not valid; valid are 'null', 'serve'"),
        ({"per": "day"}, "per='day' is not valid; valid are 'row', 'step'"),
        ({"engine": "flink"}, "engine='flink' is not valid; valid are 'spark'"),
        ({"name": "My-View"}, "the name 'My-View' is not valid"),
        ({"lookback": DAY}, "has lookback= and no sql or function"),
        ({"ttl": 30}, "ttl=30 has the wrong type; valid is timedelta or None"),
        ({"entities": ["user"]}, "entities=[… 'user' …] has the wrong type; valid is a list of Entity"),
        ({"schema": [Field(name="page", dtype="string")]}, "Field page: dtype='string' has the wrong type"),  # type: ignore[arg-type]
        ({"sources": [clicks_source()]}, "has both source= and sources="),
        (
            {"sources": [clicks_source(), clicks_source(name="more")], "source": None},
            "has 2 sources and no sql or function",
        ),
        ({"source": RequestSource(name="req", schema=SCORE)}, "reads request source 'req'"),
        (
            {"source": PushSource(name="pushed", schema=SCORE)},
            "has schedule but reads push source 'pushed', which has no batch_source",
        ),
        ({"schema": [Field(name="user_id", dtype=Int64)]}, "feature 'user_id' has the name of a join key"),
        (
            {"schema": [Field(name="event_timestamp", dtype=Timestamp)]},
            "feature 'event_timestamp' has the name of a column that every",
        ),
        ({"schema": [Field(name="page", dtype=String)] * 2}, "has two features called 'page'"),
        (
            {"sql": "SELECT * FROM {clicks}", "function": module_function, "per": "row"},
            "has sql and function; a view has at most one",
        ),
        ({"sql": "SELECT * FROM {clikcs}", "per": "row"}, "sql: unknown source '{clikcs}' (did you mean '{clicks}'?)"),
        ({"sql": "SELECT 1", "per": "row"}, "sql does not read source 'clicks'"),
        ({"sql": "SELECT * FROM {clicks}", "schedule": None}, "is computed by step and has no schedule"),
        ({"sql": "SELECT * FROM {clicks}", "schema": ()}, "is made by SQL and has no schema"),
        (
            {"function": module_function, "per": "row", "lookback": DAY, "schedule": None},
            "is computed by step and has no schedule",
        ),
        ({"function": lambda clicks: clicks}, "function is a lambda"),
        ({"function": local_function()}, "is defined inside another function; move it to the top level"),
        ({"expectations": [Expectation("expect_magic")]}, "unknown expectation 'expect_magic'"),
        (
            {"expectations": [Expectation("expect_column_to_exist", column="no")]},
            "unknown column in the output rows: 'no'",
        ),
        (
            {"expectations": [Expectation("expect_column_to_exist", column="no", on="input")]},
            "unknown column in the input rows: 'no'",
        ),
        ({"expectations": [Expectation("expect_column_to_exist", severity="bad")]}, "severity='bad' is not valid"),
        ({"expectations": [Expectation("expect_column_to_exist", on="rows")]}, "on='rows' is not valid"),
        ({"expectations": [Expectation("expect_column_to_exist", when=START)]}, "its arguments are no JSON values"),
    ],
)
def test_a_mistake_in_a_view_is_told(overrides: dict[str, Any], message: str) -> None:
    found = messages(view_definition(**overrides))
    assert len([text for text in found if message in text]) == 1, found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"function": "sum", "column": "page"},
            "sum does not take column 'page' of type string; it takes integer, float",
        ),
        ({"function": "total", "column": "clicked"}, "unknown function 'total'"),
        ({"function": "sum"}, "sum takes a column; only count works without one"),
        ({"function": "sum", "column": "cliked"}, "unknown column 'cliked' (did you mean 'clicked'?)"),
        ({"function": "last_k", "column": "page"}, "last_k takes k=, a whole number of at least 1; found k=None"),
        ({"function": "sum", "column": "clicked", "k": 2}, "sum takes no k="),
        ({"function": "sum", "column": "clicked", "limit": 2}, "limit=2 is not valid"),
        ({"function": "sum", "column": "clicked", "percentile": 0.5}, "sum takes no percentile="),
        ({"function": "sum", "column": "clicked", "window": timedelta(0)}, "window=datetime.timedelta(0) is not valid"),
        (
            {"function": "sum", "column": "clicked", "window": timedelta(seconds=90)},
            "window=datetime.timedelta(seconds=90) is not",
        ),
        (
            {"function": "approx_percentile", "column": "clicked"},
            "percentile=, a number from 0 to 1; found percentile=None",
        ),
        (
            {"function": "approx_percentile", "column": "clicked", "percentile": 50},
            "approx_percentile takes percentile=, a number from 0 to 1; found percentile=50",
        ),
        ({"function": "sum", "column": "clicked", "dtype": Float32}, "dtype=float32 does not hold every int64"),
        ({"function": "count", "where": " "}, "where= is empty"),
        ({"function": "count", "name": "created_timestamp"}, "feature 'created_timestamp' has the name of a column"),
    ],
)
def test_a_mistake_in_an_aggregation_is_told(options: dict[str, Any], message: str) -> None:
    found = messages(aggregate_definition(aggregations=[Aggregation(**({"window": DAY} | options))]))
    assert len([text for text in found if message in text]) == 1, found


def test_a_sum_of_bools_says_what_counts_them() -> None:
    schema = [*clicks_source().schema, Field(name="is_paid", dtype=Bool)]
    view = aggregate_definition(
        source=clicks_source(schema=schema), aggregations=[Aggregation(function="sum", column="is_paid")]
    )
    assert any("count with where='is_paid' counts the true ones" in text for text in messages(view))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "orc"}, "format='orc' is not valid; valid are 'csv', 'json', 'parquet'"),
        ({"format": "csv", "schema": ()}, "a csv source has no types of its own"),
        ({"timestamp_field": "time"}, "timestamp_field: unknown column 'time'"),
        ({"timestamp_field": "page"}, "timestamp_field: column 'page' has type string"),
        ({"created_timestamp_column": "made"}, "created_timestamp_column: unknown column 'made'"),
        ({"field_mapping": {"a": "b"}}, "field_mapping: the source has no column 'a' to call 'b'"),
        ({"schema": ()}, "its columns cannot be read from 'data/clicks.parquet'"),
    ],
)
def test_a_mistake_in_a_source_is_told(options: dict[str, Any], message: str) -> None:
    found = messages(clicks_source(**options))
    assert len([text for text in found if message in text]) == 1, found


def test_a_cycle_is_told_once_with_its_path() -> None:
    first_inputs: list[Any] = []
    options: dict[str, Any] = {"source": None, "sql": "SELECT * FROM {x}", "schema": SCORE, "per": "row"}
    first = view_definition(name="first", **(options | {"sources": first_inputs}))
    second = view_definition(name="second", **(options | {"sources": [first.with_name("x")]}))
    first_inputs.append(second.with_name("x"))
    assert [text for text in messages(first, second) if "reads itself" in text] == [
        "the view reads itself: first ← second ← first; take one of these inputs out"
    ]


def test_a_short_window_is_a_warning() -> None:
    hourly = Aggregation(function="count", window=timedelta(hours=1))
    result = compile_objects(aggregate_definition(aggregations=[hourly], freshness=timedelta(hours=2)))
    assert [warning.message.partition(":")[0] for warning in result.warnings] == [
        "aggregation 'count_1h'",
        "freshness=2h is shorter than the schedule's step of 1d",
    ]


def test_streams_are_refused_honestly() -> None:
    topic = KafkaSource(name="topic", bootstrap_servers="b", topic="t", timestamp_field="event_timestamp")
    assert any("Kafka sources are not available in this release" in text for text in messages(topic))


def test_an_entity_with_too_few_types_is_told() -> None:
    pair = Entity(name="pair", join_keys=["a", "b"], dtypes=[Int64])
    assert "found 1 dtypes for 2 join keys" in messages(pair)[0]


def test_types_of_aggregations_follow_the_column() -> None:
    schema = [*clicks_source().schema, Field(name="price", dtype=Decimal(10, 2)), Field(name="small", dtype=Float32)]
    functions = ("sum", "mean", "min", "count", "count_distinct", "last")
    items = [
        Aggregation(function=name, column=column, window=DAY)
        for name in functions
        for column in ("clicked", "price", "small")
    ]
    items += [
        Aggregation(function="top_k", column="page", k=2, window=DAY),
        Aggregation(function="histogram", column="page"),
    ]
    source: FileSource = clicks_source(schema=schema)
    view = compile_objects(aggregate_definition(source=source, aggregations=items)).manifest.views["user_data"]
    types = {field.name: repr(field.dtype) for field in view.features}
    assert types["clicked_sum_1d"] == "int64"
    assert types["price_sum_1d"] == "Decimal(precision=20, scale=2)"
    assert types["small_sum_1d"] == types["clicked_mean_1d"] == "float64"
    assert types["small_last_1d"] == types["small_min_1d"] == "float32"
    assert types["page_top_k_1d"] == "Array(element=string)"
    assert types["page_histogram_lifetime"] == "Map(key=string, value=int64)"
    assert [field.name for field in view.features] == sorted(types)


def test_a_view_over_a_view_reads_its_features() -> None:
    parent = view_definition()
    child = BatchFeatureView(
        name="child",
        entities=[user_entity()],
        source=parent[["page_seconds"]],
        aggregations=[Aggregation(function="max", column="page_seconds", window=DAY)],
        schedule="@daily",
        start=datetime(2026, 1, 1),
    )
    manifest = compile_objects(child).manifest
    assert manifest.parents(manifest.views["child"]) == ("pages",)
    assert manifest.views["child"].start == START


def test_wrongly_typed_options_hide_no_other_problem() -> None:
    bare = view_definition(name="bare", entities=user_entity())
    nothing = view_definition(name="nothing", sources=3)
    words = view_definition(name="words", source="clicks", schema=["page"])
    number = view_definition(name=4)
    untyped = Entity(name="untyped", join_keys=["user_id"], dtypes=["int64"])  # type: ignore[list-item]
    keyed = view_definition(name="keyed", entities=[untyped], per="day")
    child = view_definition(name="child", source=bare, ttl=-DAY)
    with pytest.raises(DefinitionError) as raised:
        compile_objects(bare, nothing, words, number, keyed, child)
    told = {(problem.object.rpartition(" ")[2], problem.message.partition("=")[0]) for problem in raised.value.problems}
    assert told == {
        ("'bare'", "entities"),
        ("'nothing'", "sources"),
        ("'words'", "source"),
        ("'words'", "schema"),
        ("4", "name"),
        ("'untyped'", "dtypes"),
        ("'keyed'", "per"),
        ("'child'", "ttl"),
    }
