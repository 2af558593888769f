"""One run names every mistake of every definition, with its file, line and object."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.compile import compile_definitions, load_definitions
from featurestore.errors import DefinitionError
from tests.support.definitions import no_schema

FOLDER = Path(__file__).parent

EIGHT = {
    ("spending", "unknown column 'amuont' (did you mean 'amount'?)"),
    ("spending", "mean does not take column 'shop' of type string"),
    ("spending", "window=datetime.timedelta(seconds=90) is not valid"),
    ("habits", "'61 * * * *' is no schedule"),
    ("product_sales", "lacks the join key: unknown column 'product_id'"),
    (
        "latest",
        "'expect_column_values_to_not_be_nul' (did you mean 'expect_column_values_to_not_be_null'?)",
    ),
    ("latest", "the name is used twice: BatchFeatureView 'latest' is at mistakes/shop.py:"),
    ("favourites", "unknown source '{order}' (did you mean '{orders}'?)"),
}


@pytest.fixture(scope="module")
def error() -> DefinitionError:
    with pytest.raises(DefinitionError) as raised:
        compile_definitions(load_definitions(FOLDER, "mistakes"), project="shop", repo=FOLDER, schema_of=no_schema)
    return raised.value


@pytest.mark.parametrize(("view", "text"), sorted(EIGHT))
def test_one_run_names_each_mistake(error: DefinitionError, view: str, text: str) -> None:
    found = [problem for problem in error.problems if text in problem.message]
    assert [problem.object for problem in found] == [f"BatchFeatureView {view!r}"]


def test_each_problem_says_where_its_object_is(error: DefinitionError) -> None:
    lines = (FOLDER / "mistakes" / "shop.py").read_text(encoding="utf-8").splitlines()
    for problem in error.problems:
        file, line = problem.location.rsplit(":", 1)
        assert file == "mistakes/shop.py"
        assert "= BatchFeatureView(" in lines[int(line) - 1]


def test_nothing_else_is_reported(error: DefinitionError) -> None:
    a_view_without_its_source = [problem for problem in error.problems if "sql does not read" in problem.message]
    assert len(error.problems) == len(EIGHT) + len(a_view_without_its_source)
    assert str(error).startswith(f"{len(error.problems)} definition problems:")
