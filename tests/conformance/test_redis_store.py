"""What only Redis can show: counted commands, deadlines, lost servers, forks, errors."""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis
from redis import exceptions
from redis._parsers.base import BaseParser

from featurestore.codec.keys import KeyCodec
from featurestore.errors import DeadlineExceeded, FeatureStoreError, OnlineStoreUnavailable, SettingsError, StateError
from featurestore.spec.dtypes import DType, Float32, Float64, Int64
from featurestore.stores.redis.errors import RULINGS, ReplyError, translate
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.online import listening, running_redis
from tests.support.rows import encode_rows, fields_of, number_rows

KEYS = KeyCodec(project_id=1, storage_id=42, fields=fields_of(k=Int64))
HELLO = b"%1\r\n+proto\r\n:3\r\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("r")) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url, protocol=3) as opened:
        opened.flushall()
        opened.config_resetstat()
        yield opened


@pytest.fixture
def store(url: str, client: redis.Redis) -> Iterator[RedisOnlineStore]:
    opened = RedisOnlineStore.connect(url)
    yield opened
    opened.close()


def pairs(count: int) -> list[tuple[bytes, bytes]]:
    keys = [key for key in KEYS.encode({"k": np.arange(count)}) if key is not None]
    return list(zip(keys, number_rows(count, event_us=1), strict=True))


def calls(client: redis.Redis) -> dict[str, int]:
    """Count calls by command; Redis 7 counts subcommands by themselves."""
    found: dict[str, int] = {}
    for name, stat in client.info("commandstats").items():
        command = name.removeprefix("cmdstat_").partition("|")[0]
        found[command] = found.get(command, 0) + stat["calls"]
    return found


pytestmark = pytest.mark.redis


def test_new_keys_are_set_without_the_script(store: RedisOnlineStore, client: redis.Redis) -> None:
    store.write_if_newer(pairs(128)[100:101])
    client.config_resetstat()
    assert store.write_if_newer(pairs(256), are_new=True).written == 255
    found = calls(client)
    assert (found["msetnx"], found["evalsha"]) == (4, 1)


def test_a_read_is_one_command(store: RedisOnlineStore, client: redis.Redis) -> None:
    store.read([key for key, _ in pairs(1000)])
    assert calls(client)["mget"] == 1
    store.read([b"x"])
    assert set(calls(client)) - {"mget", "info", "config", "client", "hello"} == set()
    assert calls(client)["mget"] == 2


def test_a_script_has_at_most_64_keys(store: RedisOnlineStore, client: redis.Redis) -> None:
    client.script_flush()
    client.config_resetstat()
    assert store.write_if_newer(pairs(64 * 40 + 1)).written == 64 * 40 + 1
    found = calls(client)
    assert found["evalsha"] == 41 + 32
    assert found["script"] == 1
    assert (found["mget"], found["mset"]) == (41, 41)
    assert not {"get", "getrange", "set"} & set(found)


def test_of_a_key_twice_in_a_call_the_greater_value_and_its_expiry_stay(
    store: RedisOnlineStore, client: redis.Redis
) -> None:
    (key, older), (_, newer) = pairs(2)
    newer = b"\xff" + newer[1:]
    far = (int(time.time()) + 1000) * 1000
    assert store.write_if_newer([(key, newer), (key, older)], expire_at_ms=[0, far]).written == 1
    assert (client.get(key), client.pttl(key)) == (newer, -1)
    client.delete(key)
    assert store.write_if_newer([(key, older), (key, newer)], expire_at_ms=[0, far]).written == 2
    assert client.get(key) == newer and client.pttl(key) > 0


@pytest.mark.parametrize(("dtype", "limit"), [(Float64, 550), (Float32, 350)])
def test_an_entity_of_50_numbers_stays_in_its_budget(
    store: RedisOnlineStore, client: redis.Redis, dtype: DType, limit: int
) -> None:
    fields = fields_of(**{f"f{number}": dtype for number in range(50)})
    rows = encode_rows(fields, [{field.name: 0.1 for field in fields}])
    count = 10_000
    store.write_if_newer([(b"first", rows[0])])  # so that buffers and the script are there before
    before = client.info("memory")["used_memory"]
    store.write_if_newer([(key, rows[0]) for key, _ in pairs(count)])
    assert (client.info("memory")["used_memory"] - before) / count <= limit


def test_a_flushed_script_is_loaded_again(store: RedisOnlineStore, client: redis.Redis) -> None:
    for _ in range(2):
        client.script_flush()
        assert store.replace_record(b"r", client.get("r"), b"x")


def test_expiry_is_physical(store: RedisOnlineStore, client: redis.Redis) -> None:
    (first, second) = pairs(2)
    at = store.time_micros() // 1000 + 60_000
    store.write_if_newer([first, second], expire_at_ms=np.array([at, 0]))
    assert client.pexpiretime(first[0]) == at if client.info("server")["redis_version"] >= "7" else True
    assert 0 < client.pttl(first[0]) <= 60_000
    assert client.pttl(second[0]) == -1


def test_a_scan_by_the_codecs_pattern_finds_its_keys_only(store: RedisOnlineStore, client: redis.Redis) -> None:
    codecs = [
        KeyCodec(project_id=project, storage_id=storage, fields=KEYS.fields)
        for project in (1, 2, 129, 16_500)
        for storage in (1, 42, 63, 91, 92, 93, 200)
    ]
    for codec in codecs:
        (key,) = codec.encode({"k": [5]})
        assert key is not None
        store.put_record(key, b"x")
    for codec in codecs:
        assert list(client.scan_iter(match=codec.scan_pattern(), count=1000)) == codec.encode({"k": [5]})


def test_an_evicting_server_is_refused(store: RedisOnlineStore, client: redis.Redis) -> None:
    store.check_eviction_policy()
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(StateError, match=r"maxmemory-policy allkeys-lru.*valid are noeviction"):
            store.check_eviction_policy()
    finally:
        client.config_set("maxmemory-policy", "noeviction")


def test_a_key_of_another_kind_is_an_error_and_the_connection_lives(
    store: RedisOnlineStore, client: redis.Redis
) -> None:
    client.lpush("list", "x")
    with pytest.raises(StateError, match=r"EVALSHA at unix://.*WRONGTYPE"):
        store.write_if_newer([(b"list", number_rows(1)[0])])
    before = client.info("clients")["connected_clients"]
    assert store.read([b"x"]) == [None]
    assert client.info("clients")["connected_clients"] == before


def test_full_memory_is_said(store: RedisOnlineStore, client: redis.Redis) -> None:
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(OnlineStoreUnavailable, match="memory is full"):
            store.write_if_newer(pairs(1))
    finally:
        client.config_set("maxmemory", "0")


def test_a_closed_idle_connection_is_replaced(store: RedisOnlineStore, client: redis.Redis) -> None:
    store.put_record(b"x", b"1")
    client.client_kill_filter(_type="normal", skipme=True)
    assert store.read([b"x"]) == [b"1"]


def test_a_late_answer_is_never_given_to_the_next_call(store: RedisOnlineStore, client: redis.Redis) -> None:
    store.put_record(b"x", b"1")
    client.execute_command("CLIENT", "PAUSE", "400")
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="MGET at unix://"):
        store.read([b"x"], deadline=0.1)
    assert time.monotonic() - started < 0.35
    assert store.read([b"missing"]) == [None]


def test_drops_of_an_answer_do_not_stretch_the_deadline(tmp_path: Path) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(HELLO)
        connection.recv(1 << 16)
        connection.sendall(b"*1\r\n$100000\r\n")
        connection.settimeout(0.02)
        while True:
            connection.sendall(b"x")
            try:
                connection.recv(1)
            except TimeoutError:
                continue

    with listening(tmp_path / "s", trickle) as url:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            RedisOnlineStore.connect(url).read([b"x"], deadline=0.2)
        assert time.monotonic() - started < 1.0


def test_a_server_that_never_says_hello_is_late(tmp_path: Path) -> None:
    with (
        listening(tmp_path / "s", lambda connection: connection.recv(1 << 16) and connection.recv(1)) as url,
        pytest.raises(DeadlineExceeded),
    ):
        RedisOnlineStore.connect(url).read([b"x"], deadline=0.1)


def test_no_server_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(OnlineStoreUnavailable, match="`featurestore doctor`") as caught:
        RedisOnlineStore.connect(f"unix://:secret@{tmp_path}/none").read([b"x"])
    assert "secret" not in str(caught.value) + repr(caught.value.context)


def test_something_else_that_answers_is_unavailable(tmp_path: Path) -> None:
    with (
        listening(tmp_path / "s", lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")) as url,
        pytest.raises(OnlineStoreUnavailable),
    ):
        RedisOnlineStore.connect(url).read([b"x"], deadline=2.0)


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("localhost:6379", {}, "found scheme 'localhost'"),
        ("redis://h", {"colour": 1}, "colour"),
        ("redis://h", {"deadline": 0}, "deadline: found 0; valid is a number of seconds above 0"),
    ],
)
def test_wrong_settings_are_named(url: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        RedisOnlineStore.connect(url, **options)


def test_a_pickled_copy_and_a_forked_child_have_connections_of_their_own(store: RedisOnlineStore) -> None:
    store.put_record(b"x", b"1")
    copy = pickle.loads(pickle.dumps(store))
    assert copy.read([b"x"]) == [b"1"]
    copy.close()
    child = os.fork()
    if child == 0:
        os._exit(0 if store.read([b"x"] * 3) == [b"1"] * 3 else 1)
    assert store.read([b"x"]) == [b"1"]
    assert os.waitpid(child, 0)[1] == 0
    assert store.read([b"x"]) == [b"1"]


KNOWN_TO_REDIS_PY: dict[str, type[Exception] | dict[str, type[Exception]]] = BaseParser.EXCEPTION_CLASSES


def test_every_code_that_redis_py_knows_is_ruled() -> None:
    """redis-py's list of error codes is the field's: nothing in it may be news to us."""
    assert [code for code in KNOWN_TO_REDIS_PY if code not in RULINGS] == ["ERR"]
    for code in RULINGS:
        ours = translate(ReplyError(f"{code} why"), command="MGET", address="unix://x")
        assert isinstance(ours, FeatureStoreError)
        assert ours.context["cause"] == code


def test_plain_errors_of_log_in_and_limits_are_no_errors_of_the_data() -> None:
    known = KNOWN_TO_REDIS_PY["ERR"]
    assert isinstance(known, dict)
    for text, theirs in known.items():
        if issubclass(theirs, exceptions.ConnectionError):
            ours = translate(ReplyError(f"ERR {text}"), command="HELLO", address="unix://x")
            assert isinstance(ours, OnlineStoreUnavailable), text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("MISCONF Redis is configured to save RDB snapshots", OnlineStoreUnavailable),
        (
            "ERR Error running script (call to f_1a): @user_script:25: @user_script: 25: -READONLY You can't write.",
            OnlineStoreUnavailable,
        ),
        ("READONLY You can't write script: 1a, on @user_script:25.", OnlineStoreUnavailable),
        ("ERR The user executing the script can't run this command or subcommand", OnlineStoreUnavailable),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", StateError),
    ],
)
def test_the_servers_code_decides(text: str, kind: type[FeatureStoreError]) -> None:
    assert type(translate(ReplyError(text), command="EVALSHA", address="unix://x")) is kind
