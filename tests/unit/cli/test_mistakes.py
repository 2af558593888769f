"""What the command line says of a call that cannot be carried out, before anything is opened or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.cli.main import VERBS, cli, main
from featurestore.errors import ExitCode

SETTINGS = "project: shop\nonline_store: {type: memory}\n"


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run a command that ends as a usage error, and give what it says on stderr."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    return " ".join(said.err.split())


@pytest.mark.parametrize("verb", [("materialize",), ("backfill", "clicks")], ids=lambda verb: verb[0])
def test_a_range_that_ends_before_it_starts(
    verb: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "feature_store.yaml").write_text(SETTINGS, encoding="utf-8")
    said = refused(capsys, "--repo", str(tmp_path), *verb, "2026-02-01", "2026-01-31T06:00Z")
    assert "starts at 2026-02-01T00:00:00Z, after its end 2026-01-31T06:00:00Z" in said


@pytest.mark.parametrize("name", ["My-Shop", "true", "a: b", "1st"])
def test_init_refuses_a_name_that_later_commands_would_refuse(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "init", str(tmp_path / "new"), "--project", name)
    assert f"--project {name}" in said
    assert list(tmp_path.iterdir()) == []


def test_v_is_a_view_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert "-v" in refused(capsys, "-v", "status")
    for verb in VERBS:
        command = cli.get_command(cli.make_context("featurestore", ["list"]), verb)
        assert command is not None
        assert {option.name for option in command.params if "-v" in option.opts} <= {"views"}


def test_every_verb_has_a_short_help_that_a_narrow_terminal_shows_whole() -> None:
    context = cli.make_context("featurestore", ["list"])
    helps = {verb: getattr(cli.get_command(context, verb), "short_help", None) or "" for verb in VERBS}
    assert {verb: text for verb, text in helps.items() if not 0 < len(text) <= 49} == {}
