"""Loading imports definition modules and nothing else, each repo apart from others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from featurestore import BatchFeatureView, Entity
from featurestore.compile import load_definitions, load_objects
from featurestore.errors import DefinitionError

HEADER = "from featurestore import Entity\n"
REPO = Path(__file__).resolve().parents[3]


def write(repo: Path, **files: str) -> Path:
    for name, text in files.items():
        path = repo / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return repo


def names(repo: Path, package: str = "definitions") -> list[str]:
    return [entry.definition.name for entry in load_definitions(repo, package).objects]


def test_objects_are_found_with_the_line_of_their_assignment(tmp_path: Path) -> None:
    text = f"{HEADER}\nuser = Entity(name='user')\nothers = [Entity(name='a'), Entity(name='b')]\n"
    loaded = load_definitions(write(tmp_path, definitions__web=text), "definitions")
    assert [(entry.definition.name, entry.location) for entry in loaded.objects] == [
        ("user", "definitions/web.py:3"),
        ("a", "definitions/web.py:4"),
        ("b", "definitions/web.py:4"),
    ]


def test_an_imported_object_belongs_to_the_module_that_makes_it(tmp_path: Path) -> None:
    user = f"{HEADER}user = Entity(name='user')\n"
    write(tmp_path, definitions__b=user, definitions__a=f"{HEADER}from definitions.b import user\n")
    loaded = load_definitions(tmp_path, "definitions")
    assert [entry.location for entry in loaded.objects] == ["definitions/b.py:2"]


def test_scripts_and_private_modules_are_not_imported(tmp_path: Path) -> None:
    write(
        tmp_path,
        definitions__web=f"{HEADER}user = Entity(name='user')\n",
        definitions__train="from featurestore import FeatureStore\nraise RuntimeError('a script ran')\n",
        definitions__plain="raise RuntimeError('no vocabulary, no import')\n",
        definitions___draft=f"{HEADER}raise RuntimeError('private')\n",
    )
    loaded = load_definitions(tmp_path, "definitions")
    assert [entry.definition.name for entry in loaded.objects] == ["user"]
    assert loaded.problems == ()


def test_a_module_that_fails_is_a_problem_and_the_others_load(tmp_path: Path) -> None:
    write(
        tmp_path,
        definitions__broken=f"{HEADER}\nuser = Entity(nam='user')\n",
        definitions__typo=f"{HEADER}user = Entity(\n",
        definitions__web=f"{HEADER}user = Entity(name='user')\n",
    )
    loaded = load_definitions(tmp_path, "definitions")
    assert [entry.definition.name for entry in loaded.objects] == ["user"]
    assert [problem.location for problem in loaded.problems] == ["definitions/broken.py:3", "definitions/typo.py:2"]
    assert "TypeError" in loaded.problems[0].message
    assert "SyntaxError" in loaded.problems[1].message


def test_two_repos_with_a_package_of_one_name_do_not_mix(tmp_path: Path) -> None:
    first = write(tmp_path / "first", definitions__web=f"{HEADER}user = Entity(name='first')\n")
    second = write(
        tmp_path / "second", definitions____init__="", definitions__web=f"{HEADER}user = Entity(name='second')\n"
    )
    assert names(first) == ["first"]
    assert names(second) == ["second"]
    assert names(first) == ["first"]


def test_a_file_edited_between_two_loads_is_read_again(tmp_path: Path) -> None:
    repo = write(tmp_path, definitions__web=f"{HEADER}user = Entity(name='one')\n")
    assert names(repo) == ["one"]
    write(tmp_path, definitions__web=f"{HEADER}user = Entity(name='two')\n")
    assert names(repo) == ["two"]


def test_the_import_path_is_left_as_it_was(tmp_path: Path) -> None:
    before = list(sys.path), list(sys.meta_path)
    names(write(tmp_path, definitions__web=HEADER))
    assert (list(sys.path), list(sys.meta_path)) == before


def test_a_missing_folder_names_those_there_are(tmp_path: Path) -> None:
    write(tmp_path, features__web=HEADER)
    with pytest.raises(DefinitionError, match="Folders there: features"):
        load_definitions(tmp_path, "definitions")


def test_a_heavy_import_is_a_warning(tmp_path: Path) -> None:
    loaded = load_definitions(write(tmp_path, definitions__web=f"{HEADER}import sklearn\n"), "definitions")
    assert "import it inside the function" in loaded.warnings[0].message


def test_objects_from_a_notebook_are_taken_as_they_are() -> None:
    user = Entity(name="user")
    loaded = load_objects([user, 3])
    assert loaded.objects[0].definition is user
    assert loaded.problems[0].location == "objects[1]"
    assert "found an object of type int" in loaded.problems[0].message
    assert BatchFeatureView.__name__ in loaded.problems[0].message


def test_loading_imports_no_spark_pandas_or_redis() -> None:
    code = (
        "import sys; from pathlib import Path; from featurestore.compile import compile_definitions, load_definitions\n"
        f"loaded = load_definitions(Path({str(REPO)!r}), 'definitions'); assert loaded.objects, loaded\n"
        "heavy = {'pyspark', 'pandas', 'redis', 'airflow', 'great_expectations', 'deltalake', 'numpy', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPO, timeout=60
    )
    assert done.stdout.strip() == "[]"
