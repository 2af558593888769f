"""Scripts called on groups of keys: in order, in bounded round trips, loaded where they are missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from featurestore.errors import OnlineStoreUnavailable
from featurestore.stores.redis.scripts import Script
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.online import running_redis

pytestmark = pytest.mark.redis

SET_ALL = Script("for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[1]) end return {#KEYS, ARGV[1]}")
"""Sets all its keys to one value."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisOnlineStore]:
    with running_redis(tmp_path_factory.mktemp("r")) as url:
        opened = RedisOnlineStore.connect(url)
        yield opened
        opened.close()


@pytest.fixture
def client(store: RedisOnlineStore) -> Iterator[redis.Redis]:
    path = store.address.removeprefix("unix://").partition(" ")[0]
    with redis.Redis(unix_socket_path=path) as opened:
        opened.flushall()
        opened.script_flush()
        opened.config_resetstat()
        yield opened


def test_each_group_is_one_call_and_replies_come_in_order(store: RedisOnlineStore, client: redis.Redis) -> None:
    keys = [b"k%d" % number for number in range(150)]
    places = store.group_keys(keys)
    assert [len(group) for group in places] == [64, 64, 22]
    groups = [([keys[place] for place in group], [b"v%d" % number]) for number, group in enumerate(places)]
    assert store.run_script(SET_ALL, groups) == [[64, b"v0"], [64, b"v1"], [22, b"v2"]]
    assert store.read([b"k0", b"k149"]) == [b"v0", b"v2"]
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 3 + 3
    assert store.run_script(SET_ALL, []) == []


def test_a_script_that_fails_says_so(store: RedisOnlineStore) -> None:
    with pytest.raises(OnlineStoreUnavailable, match="OOM"):
        store.run_script(Script("return redis.error_reply('OOM full')"), [([b"x"], [])])


def test_a_group_of_too_many_keys_is_refused(store: RedisOnlineStore) -> None:
    with pytest.raises(ValueError, match="at most 64 keys; found 65"):
        store.run_script(SET_ALL, [([b"x"] * 65, [b"v"])])


def test_a_large_call_goes_in_bounded_parts(store: RedisOnlineStore, client: redis.Redis) -> None:
    value = bytes(1 << 20)
    groups = [([b"large%d" % number], [value]) for number in range(9)]
    assert [count for count, _ in store.run_script(SET_ALL, groups)] == [1] * 9
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 9 + 4
