"""A long-lived process runs the user code of the definitions that are applied, however often they change."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featurestore.codec.keys import code_key, manifest_key
from featurestore.compile import write_archive
from featurestore.compile.code import code_ref
from featurestore.errors import StateError
from featurestore.ir.serialize import manifest_to_json
from featurestore.models.local import LocalModels
from featurestore.runtime.online_code import code_keys, keep_code
from featurestore.serving.client import OnlineClient
from featurestore.serving.code import AppliedCode
from featurestore.spec.dtypes import Int64
from featurestore.stores.memory import MemoryOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.serving import PROJECT, Clock, World, field, flags, recency, ref, scores

PACKAGE = "shop_code"
FEATURES = f"""
from {PACKAGE}.numbers import FACTOR


def times(inputs):
    return {{"visits_times": inputs["visits"] * FACTOR}}


class Model:
    def predict(self, inputs):
        return {{"score": inputs["visits"] * FACTOR / 10}}


def load():
    return Model()
"""
USER_1 = [{"user_id": 1}]


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()


class Applied:
    """A project whose code is applied as ``apply`` does it: zip, manifest and pointer in the online store."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.generation = 0
        self.view = flags()
        self.world = World(self.view, store=CountingStore(MemoryOnlineStore(clock=Clock())))
        self.store = self.world.store
        self.world.put(self.view, 1, {"visits": 7})

    def apply(self, factor: int, *, keep: bool = True) -> str:
        package = self.repo / PACKAGE
        package.mkdir(exist_ok=True, parents=True)
        (package / "__init__.py").write_text("")
        (package / "numbers.py").write_text(f"FACTOR = {factor}\n")
        (package / "features.py").write_text(FEATURES)
        digest, archive = write_archive(self.repo, PACKAGE, self.repo / "code")
        if keep:
            keep_code(self.store, PROJECT, digest, archive)
        self.generation += 1
        on_demand = recency(
            inputs=(ref("flags", "visits"),),
            request=(),
            features=(field("visits_times", Int64),),
            code=code_ref(self.repo, f"{PACKAGE}.features:times"),
        )
        prediction = scores(inputs=(ref("flags", "visits"),), attach_to=None, version=self.generation)
        prediction = replace(
            prediction,
            storage_id=30 + self.generation,
            model=replace(
                prediction.model,
                version=str(self.generation),
                load=code_ref(self.repo, f"{PACKAGE}.features:load"),
            ),
        )
        manifest = replace(
            self.world.manifest,
            generation=self.generation,
            code=digest,
            on_demand_views={"recency": on_demand},
            prediction_views={prediction.name: prediction},
        )
        self.store.put_record(manifest_key(PROJECT), manifest_to_json(manifest).encode())
        self.world.pointer = replace(self.world.pointer, generation=self.generation)
        self.world.point("flags")
        return digest

    def client(self, folder: Path | None = None) -> OnlineClient:
        code = AppliedCode(PROJECT, folder)
        return OnlineClient(self.store, PROJECT, clock=self.world.clock, code=code, predictor=LocalModels(code.resolve))


def ask(client: OnlineClient) -> tuple[Any, Any]:
    answer = client.get_online_features(["recency:visits_times", "model_predictions:score"], USER_1)
    return answer["visits_times"][0], answer["score"][0]


@pytest.mark.parametrize("has_folder", [True, False])
def test_changed_code_is_run_once_it_is_applied(tmp_path: Path, has_folder: bool) -> None:
    applied = Applied(tmp_path / "repo")
    applied.apply(2)
    client = applied.client(tmp_path / "repo" / "code" if has_folder else None)
    assert ask(client) == (14, 1.4)
    for factor in (3, 4, 5, 2):
        applied.apply(factor)
        assert ask(client) == (7 * factor, 7 * factor / 10)
    assert not any(name.partition(".")[0] == PACKAGE for name in sys.modules)


def test_code_is_read_once_for_each_apply_and_lookups_stay_one_round_trip(tmp_path: Path) -> None:
    applied = Applied(tmp_path / "repo")
    applied.apply(2)
    client = applied.client()
    ask(client)
    applied.store.reads.clear()
    assert ask(client) == (14, 1.4)
    assert len(applied.store.reads) == 1


def test_edits_that_were_not_applied_change_nothing(tmp_path: Path) -> None:
    applied = Applied(tmp_path / "repo")
    applied.apply(2)
    (tmp_path / "repo" / PACKAGE / "numbers.py").write_text("FACTOR = 100\n")
    assert ask(applied.client(tmp_path / "repo" / "code")) == (14, 1.4)


def test_two_processes_on_two_generations_run_their_own(tmp_path: Path) -> None:
    first, second = Applied(tmp_path / "a"), Applied(tmp_path / "b")
    first.apply(2)
    second.apply(3)
    one, two = first.client(), second.client()
    assert [ask(one), ask(two), ask(one)] == [(14, 1.4), (21, 2.1), (14, 1.4)]


def test_code_that_is_nowhere_is_an_error_that_names_it(tmp_path: Path) -> None:
    applied = Applied(tmp_path / "repo")
    digest = applied.apply(2, keep=False)
    client = applied.client()
    assert client.get_online_features(["flags:visits"], USER_1)["visits"] == [7]
    with pytest.raises(StateError, match=rf"archive {digest}\) is neither in a local folder nor in the online store"):
        ask(client)


def test_an_archive_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    applied = Applied(tmp_path / "repo")
    other = applied.apply(3)
    stored = applied.store.read([code_key(PROJECT, other)])[0]
    digest = applied.apply(2)
    assert stored is not None
    applied.store.put_record(code_key(PROJECT, digest), stored)
    with pytest.raises(StateError, match=f"archive {digest} has the content of {other}"):
        ask(applied.client())


def test_the_store_keeps_the_applied_archive_and_the_one_before(tmp_path: Path) -> None:
    applied = Applied(tmp_path / "repo")
    digests = [applied.apply(factor) for factor in (2, 3, 4)]
    kept = [applied.store.read([code_key(PROJECT, digest)])[0] is not None for digest in digests]
    assert kept == [False, True, True]
    applied.store.delete(code_keys(applied.store, PROJECT))
    assert applied.store.read([code_key(PROJECT, digest) for digest in digests]) == [None] * 3


def test_requests_on_two_states_at_a_time_run_the_code_of_their_own(tmp_path: Path) -> None:
    applied = Applied(tmp_path / "repo")
    code = AppliedCode(PROJECT, tmp_path / "repo" / "code")
    path, digests, references = f"{PACKAGE}.features:times", [], []
    for factor in (2, 3):
        digests.append(applied.apply(factor))
        references.append(code_ref(tmp_path / "repo", path))
    for digest in (*digests, digests[0]):
        code.take(digest, ())
    old, new = (code.resolve(reference, digest) for reference, digest in zip(references, digests, strict=True))
    assert [function({"visits": 1})["visits_times"] for function in (new, old)] == [3, 2]
    again = AppliedCode(PROJECT, tmp_path / "repo" / "code")
    for digest in reversed(digests):
        again.take(digest, ())
    assert [again.resolve(reference)({"visits": 1})["visits_times"] for reference in references] == [2, 3]
    with pytest.raises(StateError, match=f"no archive .* holds the code of {path}"):
        again.resolve(replace(references[0], digest="of another apply"))
