"""Many processes that miss the same predictions at once, on a real Redis; some of them die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.claimers import race
from tests.support.lookers import (
    CALLS_FILE,
    LOCK_SECONDS,
    SECONDS,
    USERS,
    ask,
    calls_of,
    look_once,
    make_world,
    open_client,
)
from tests.support.online import running_redis

pytestmark = pytest.mark.redis

HOLDER = """
import sys
from tests.support.lookers import USERS, ask, open_client
ask(open_client(sys.argv[1]), USERS, deadline=60)
"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("r")) as url:
        yield url


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CALLS_FILE, str(tmp_path / "calls"))
    return tmp_path / "calls"


def test_of_64_callers_who_miss_at_once_one_asks_the_model_for_each_entity(
    redis_url: str, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECONDS, "0.3")
    make_world(redis_url)
    answers = race(look_once, redis_url, processes=4, threads=16)
    assert {answer.partition(",")[0] for answer in answers} == {"right: True"}, answers
    assert sum(answers.values()) == 64
    assert Counter(user for _, users in calls_of(calls) for user in users) == dict.fromkeys(USERS, 1)


def holding(redis_url: str, calls: Path) -> subprocess.Popen[bytes]:
    """Start a process whose model runs for a minute; give it when the model has been asked."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, redis_url], cwd=ROOT, env={**os.environ, SECONDS: "60"})
    limit = time.monotonic() + 30
    while not calls_of(calls):
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.02)
    return process


def test_when_the_holder_of_the_locks_is_killed_another_takes_over_within_the_deadline(
    redis_url: str, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOCK_SECONDS, "1.5")
    make_world(redis_url)
    holder = holding(redis_url, calls)
    client = open_client(redis_url)
    try:
        waited = ask(client, USERS, deadline=2.5)  # longer than a lock lasts: the holder renews it
        assert [answer.status for answer in waited.predictions["model_predictions"]] == ["FAILED"] * len(USERS)
        assert len(calls_of(calls)) == 1
        holder.send_signal(signal.SIGKILL)
        taken_over = ask(client, USERS, deadline=8)
    finally:
        holder.kill()
        holder.wait()
        client.close()
    assert taken_over["score"] == [user * 10.0 for user in USERS]
    assert {str(answer.status) for answer in taken_over.predictions["model_predictions"]} == {"LIVE"}
    assert [users for _, users in calls_of(calls)] == [list(USERS)] * 2


def test_a_client_that_is_closed_gives_its_locks_up(
    redis_url: str, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_world(redis_url)
    monkeypatch.setenv(SECONDS, "5")
    leaving, staying = open_client(redis_url), open_client(redis_url)
    assert ask(leaving, [1], deadline=0.2)["score"] == [None]
    leaving.close()
    monkeypatch.setenv(SECONDS, "0")
    assert ask(staying, [1], deadline=2)["score"] == [10.0]
    staying.close()
