"""Lookups with ``to_dict()`` against Feast and against the bare floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.arena import Arena
from benchmarks.data import CASES, Case
from benchmarks.figures import Figure, Goal, at_least, at_most
from benchmarks.protocol import Contestant
from benchmarks.timing import alternate

__all__ = ["measure"]

_AGAINST_FEAST = {
    "1x10": Goal(must=2, aim=2.5),
    "100x50": Goal(must=25, aim=40),
    "1000x50": Goal(must=40, aim=60),
}
_AGAINST_FLOOR = Goal(must=1.5, aim=1.2)
_PROBE = [1, 2, 3, 2]


def measure(arena: Arena) -> Iterator[Figure]:
    """Let all sides answer the same lookups in turns; their answers are compared first."""
    for case in CASES.values():
        for view in case.views:
            arena.load(view.name)
        arena.ours.call("open_floor", case=case.name, url=arena.redis.url, users=arena.size.users)
        check_answers(arena, case)
        turns = {name: _turn(arena, contestant, case, "lookup") for name, contestant in arena.contestants().items()}
        turns["floor"] = _turn(arena, arena.ours, case, "floor_lookup")
        times = alternate(turns, arena.size.rounds)
        ours, floor = times["ours"], times["floor"]
        if (feast := times.get("Feast")) is not None:
            goal = _AGAINST_FEAST[case.name]
            yield at_least(f"lookup {case.name}, p50", "Feast", ours.p50_ms, feast.p50_ms, "ms", goal)
            yield at_least(f"lookup {case.name}, p99", "Feast", ours.p99_ms, feast.p99_ms, "ms")
        yield at_most(f"lookup {case.name}, p50", "floor", ours.p50_ms, floor.p50_ms, "ms", _AGAINST_FLOOR)
        yield at_most(f"lookup {case.name}, p99", "floor", ours.p99_ms, floor.p99_ms, "ms")


def check_answers(arena: Arena, case: Case) -> None:
    """Raise if the sides do not give the same values: a fast wrong answer is worth nothing."""
    answers = {name: side.call("answer", case=case.name, users=_PROBE) for name, side in arena.contestants().items()}
    answers["floor"] = arena.ours.call("floor_answer", case=case.name, users=_PROBE)
    wrong = [name for name, answer in answers.items() if answer != answers["ours"]]
    if wrong or set(answers["ours"]) != {"user_id", *(ref.partition(":")[2] for ref in case.refs)}:
        raise AssertionError(f"{case.name}: the answers of {', '.join(wrong) or 'ours'} differ")


def _turn(arena: Arena, contestant: Contestant, case: Case, verb: str) -> Callable[[int], list[int]]:
    size = arena.size
    call = partial(contestant.call, verb, case=case.name, users=size.users, seconds=size.turn_seconds)
    return lambda turn: call(turn=turn)
