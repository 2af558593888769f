"""A read of many keys is the same bytes, whichever way it is written."""

from __future__ import annotations

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from featurestore.stores.redis.protocol import pack

KEYS = st.one_of(
    st.integers(1, 20).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), max_size=40)),
    st.lists(st.binary(max_size=20), max_size=40),
)


@given(first=st.binary(max_size=30), keys=KEYS)
def test_a_read_of_many_keys_is_what_hiredis_writes(first: bytes, keys: list[bytes]) -> None:
    command = ("MGET", first, *keys)
    assert pack([command]) == hiredis.pack_command(command)


def test_other_commands_are_left_to_hiredis() -> None:
    command = ("EVALSHA", "0" * 40, 20, *[b"key"] * 20, *range(20))
    assert pack([command]) == hiredis.pack_command(command)
