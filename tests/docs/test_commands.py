"""Every command that a page shows exists, with every option that it names."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import click
import pytest

from featurestore.cli.main import VERBS, cli
from featurestore.runtime.jobs import materialize_job, optimize_job, predict_job, publish_job, run_job
from tests.docs.test_snippets import ROOT, blocks
from tests.support.markdown import commands

FOUND = [(str(block), argv) for block in blocks("console") for argv in commands(block)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
JOBS = {"materialize": materialize_job, "optimize": optimize_job, "predict": predict_job, "publish": publish_job}


def of(program: str) -> list[tuple[str, list[str]]]:
    return [(where, argv) for where, argv in FOUND if Path(argv[0]).name == program]


@pytest.mark.parametrize(("where", "argv"), of("featurestore"), ids=lambda value: " ".join(value)[:60])
def test_featurestore_commands_parse(where: str, argv: list[str], spine_folder: Path) -> None:
    arguments = argv[1:]
    if arguments[0] == "--repo":
        arguments = arguments[2:]
    command: click.Command = cli
    while isinstance(command, click.Group) and arguments:
        found = command.get_command(click.Context(command), arguments[0])
        assert found is not None, f"{where}: `featurestore` has no {arguments[0]!r}; it has {', '.join(VERBS)}"
        command, arguments = found, arguments[1:]
    command.make_context(command.name, list(arguments), resilient_parsing=False).close()


def test_every_verb_is_shown_somewhere() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert [verb for verb in VERBS if f"featurestore {verb}" not in text] == []


@pytest.mark.parametrize(("where", "argv"), of("make"), ids=lambda value: " ".join(value)[:60])
def test_make_targets_exist(where: str, argv: list[str]) -> None:
    assert [name for name in argv[1:] if "=" not in name and name not in TARGETS] == [], where


@pytest.mark.parametrize(("where", "argv"), of("spark-submit"), ids=lambda value: " ".join(value)[-60:])
def test_submitted_jobs_exist(where: str, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    profile, job = argv[argv.index("--properties-file") + 1], next(part for part in argv if part.startswith("jobs/"))
    assert (ROOT / profile).is_file() and (ROOT / job).is_file(), where
    with pytest.raises(SystemExit):
        run_job(JOBS[Path(job).stem], ["--help"], emit=print)
    usage = capsys.readouterr().out
    options = [part for part in argv[argv.index(job) :] if part.startswith("--")]
    assert [option for option in options if option not in usage] == [], where


@pytest.mark.parametrize(("where", "argv"), of("python"), ids=lambda value: " ".join(value)[:60])
def test_modules_exist(where: str, argv: list[str]) -> None:
    assert argv[1] == "-m" and importlib.util.find_spec(argv[2]) is not None, where
