"""Whatever comes in, in whatever order: a lookup gives the function of the newest inputs, or a later statement."""

from __future__ import annotations

import itertools

import pytest

from tests.support.on_demand_oracle import Doer, Oracle, happenings
from tests.support.serving import field


@pytest.mark.parametrize("seed", range(40))
def test_a_lookup_gives_the_function_of_the_newest_inputs_or_a_later_statement(seed: int) -> None:
    oracle, doer = Oracle(), Doer()
    for item in happenings(seed, 8):
        oracle.said.append(item)
        doer.do(item)
        assert doer.value() == oracle.value(), oracle.said


@pytest.mark.parametrize("seed", range(10))
def test_with_request_values_a_lookup_computes_whatever_was_written(seed: int) -> None:
    oracle, doer = Oracle(), Doer(request=(field("shift"),))
    for item in happenings(seed, 8):
        doer.do(item)
        if item.kind.endswith(("amount", "limit")):
            oracle.said.append(item)
    plain = oracle.value()
    assert doer.value(shift=0.25) == (None if plain is None else plain + 0.25)


@pytest.mark.parametrize("seed", range(12))
def test_any_order_of_the_same_rows_gives_the_same_value(seed: int) -> None:
    told = happenings(seed, 4, ("push amount", "push limit", "publish amount", "publish limit", "state output"))
    values = set()
    for order in itertools.permutations(told):
        doer = Doer()
        for item in order:
            doer.do(item)
        values.add(doer.value())
    assert len(values) == 1, told
