"""docs/online-store.md: its settings are accepted, its tables are the code's."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from featurestore.settings import parse_text
from featurestore.stores.online import OnlineAddress
from featurestore.stores.redis.address import _SCHEMES, Options, parse_address
from tests.docs.test_snippets import ROOT
from tests.support.markdown import Block, read_blocks
from tests.support.topologies import documented_rights

PAGE = ROOT / "docs" / "online-store.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("block", [b for b in read_blocks(PAGE) if b.language == "yaml"], ids=str)
def test_settings_are_accepted(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"\$\{(\w+)\}", block.text):
        monkeypatch.setenv(name, "s3cret")
    address = OnlineAddress.of(parse_text("project: shop\n" + block.text, repo=tmp_path, origin="page"))
    assert parse_address(address.url, dict(address.options)).options.password == "s3cret"


def test_every_option_is_listed_with_its_default() -> None:
    rows = [
        [cell.strip(" `") for cell in (line + "||").split("|")[1:4]]
        for line in TEXT.splitlines()
        if line.startswith("| `")
    ]
    defaults = {option.name: getattr(Options(), option.name) for option in fields(Options)}
    shown = {
        name: str(value).lower() if isinstance(value, bool) else str(value or "") for name, value in defaults.items()
    }
    shown |= {"db": "0", "replicas": ""}
    assert {name: default for name, _, default in rows if "://" not in name} == shown


def test_every_command_is_among_the_rights() -> None:
    rights = set(documented_rights())
    for path in (ROOT / "featurestore").rglob("*.py"):
        called = re.findall(r"redis\.call\('(\w+)'", path.read_text(encoding="utf-8"))
        called += (
            re.findall(r"\(\"([A-Z]+)\", ", path.read_text(encoding="utf-8")) if path.parent.name == "stores" else []
        )
        assert {f"+{name.lower()}" for name in called} - {"+cluster", "+script", "+sentinel"} <= rights, path


def test_every_scheme_is_named() -> None:
    assert [scheme for scheme in _SCHEMES if f"`{scheme}://" not in TEXT] == []
