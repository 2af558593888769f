"""Two versions of the same modules in one process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from featurestore.ondemand.functions import CodeNotFound, find_function
from featurestore.ondemand.isolated import IsolatedModules

FILES = {
    "shop/__init__.py": "from shop.numbers import FACTOR",
    "shop/numbers.py": "FACTOR = {factor}",
    "shop/features.py": """
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import json
import shop.numbers
import shop.numbers as numbers
from shop import numbers as same
from . import numbers as relative
from .numbers import FACTOR


@dataclass(frozen=True, slots=True)
class Rule:
    factor: int


def all_of_them(inputs):
    import shop.later
    from shop.later import LATER

    text = (Path(__file__).parent / "words.txt").read_text()
    return [shop.numbers.FACTOR, numbers.FACTOR, same.FACTOR, relative.FACTOR, FACTOR, shop.FACTOR,
            shop.later.LATER, LATER, Rule(FACTOR).factor, json.loads(text)]
""",
    "shop/later.py": "from shop import FACTOR\nLATER = FACTOR",
    "shop/words.txt": "{factor}",
    "alone.py": "import shop.numbers\nVALUE = shop.numbers.FACTOR",
}


def write(folder: Path, factor: int) -> Path:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{factor}", str(factor)), encoding="utf-8")
    return folder


def test_each_version_sees_its_own_modules_however_they_are_imported(tmp_path: Path) -> None:
    before = set(sys.modules)
    one = IsolatedModules(write(tmp_path / "one", 1), "one")
    two = IsolatedModules(write(tmp_path / "two", 2), "two")
    first = find_function("shop.features:all_of_them", one.load)
    second = find_function("shop.features:all_of_them", two.load)
    assert first({}) == [1] * 10
    assert second({}) == [2] * 10
    assert [modules.load("alone").VALUE for modules in (one, two)] == [1, 2]
    assert one.load("shop.features") is one.load("shop.features")
    assert not {"shop", "shop.features", "alone"} & set(sys.modules)
    added = set(sys.modules) - before
    assert all(name.startswith(("_featurestore_code_one", "_featurestore_code_two")) for name in added)


def test_what_is_missing_is_named_as_the_definitions_call_it(tmp_path: Path) -> None:
    modules = IsolatedModules(write(tmp_path, 1), "missing")
    assert modules.holds("shop.nothing")
    assert not modules.holds("json")
    with pytest.raises(CodeNotFound, match=r"cannot import 'shop\.nothing'"):
        find_function("shop.nothing:f", modules.load)
    with pytest.raises(CodeNotFound, match=r"module 'shop\.features' has no 'other'"):
        find_function("shop.features:other", modules.load)
