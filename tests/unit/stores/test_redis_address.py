"""Connection strings and options of the online store: what is read, what is refused, what is never shown."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from featurestore.errors import SettingsError
from featurestore.stores.redis.address import Kind, Node, RedisAddress, parse_address
from featurestore.stores.redis.tls import tls_context


@pytest.mark.parametrize(
    ("url", "kind", "nodes", "shown"),
    [
        ("redis://h", Kind.SERVER, (Node("h", 6379),), "redis://h:6379/0"),
        ("rediss://h:7/2", Kind.SERVER, (Node("h", 7),), "rediss://h:7/2"),
        ("redis://[::1]:7", Kind.SERVER, (Node("::1", 7),), "redis://[::1]:7/0"),
        ("redis://[::1]", Kind.SERVER, (Node("::1", 6379),), "redis://[::1]:6379/0"),
        ("unix:///run/redis.sock?db=3", Kind.SERVER, (Node(path="/run/redis.sock"),), "unix:///run/redis.sock (db 3)"),
        (
            "redis+sentinel://a,b:5/main/1",
            Kind.SENTINEL,
            (Node("a", 26379), Node("b", 5)),
            "redis+sentinel://a:26379,b:5/main/1",
        ),
        ("rediss+cluster://a:1,b:2", Kind.CLUSTER, (Node("a", 1), Node("b", 2)), "rediss+cluster://a:1,b:2"),
    ],
)
def test_connection_strings(url: str, kind: Kind, nodes: tuple[Node, ...], shown: str) -> None:
    address = parse_address(url)
    assert (address.kind, address.nodes, str(address)) == (kind, nodes, shown)
    assert address.tls == url.startswith("rediss")
    assert pickle.loads(pickle.dumps(address)) == address


def test_log_in_of_the_string_counts_before_options() -> None:
    address = parse_address(
        "redis://ann:s%40cret@h?client_name=jobs", {"username": "bob", "password": 7, "retries": "2"}
    )
    assert (address.options.username, address.options.password) == ("ann", "s@cret")
    assert (address.options.client_name, address.options.retries) == ("jobs", 2)
    assert parse_address("redis://h", {"password": 7}).options.password == "7"
    beside = parse_address("unix://ann@/run/redis.sock?password=s%40cret").options
    assert (beside.username, beside.password) == ("ann", "s@cret")


def test_sentinels_have_a_log_in_of_their_own() -> None:
    address = parse_address("redis+sentinel://ann:secret@a/main/3", {"sentinel_password": "other"})
    assert (address.access().password, address.access().database) == ("secret", 3)
    assert (address.sentinel_access().password, address.sentinel_access().database) == ("other", 0)


def test_credentials_are_never_shown() -> None:
    address = parse_address("rediss://ann:secret@h", {"sentinel_password": "secret", "ssl_keyfile_password": "secret"})
    assert "secret" not in repr(address) + str(address) + repr(address.access())


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("localhost:6379", {}, r"found scheme 'localhost'; valid are redis://, rediss://, unix://, redis\+sentinel://"),
        ("http://h", {}, "found scheme 'http'"),
        ("redis://h:port", {}, "found server 'h:port'; valid is host or host:port"),
        ("redis://h/x", {}, "db: found 'x'; valid is a whole number from 0 on"),
        ("redis://h/1/2", {}, "valid is a database's number"),
        ("redis://a,b", {}, "found several servers"),
        ("redis://[::1", {}, "it is no URL"),
        ("redis+sentinel://a", {}, "the service that the Sentinels watch is missing"),
        ("redis+cluster://a", {"db": 1}, "a cluster has database 0 only"),
        ("redis://h", {"pasword": "s3cret"}, "unknown option pasword; valid are type, connection_string, client_name"),
        ("redis://h", {"password": ["s3cret"]}, "password: found a value that is not shown; valid is text"),
        ("redis://h", {"deadline": 0}, "deadline: found 0; valid is a number of seconds above 0"),
        ("redis://h", {"deadline": "soon"}, "deadline: found 'soon'"),
        ("redis://h", {"max_connections": 0}, "valid is a whole number from 1 on"),
        ("redis://h", {"retries": 1.5}, "retries: found 1.5"),
        ("redis://h", {"retries": True}, "retries: found True"),
        ("redis://h", {"read_from": "any"}, "read_from: found 'any'; valid is primary or replica"),
        ("redis://h", {"read_from": "replica"}, "name the servers in `replicas"),
        ("redis+cluster://h", {"replicas": ["a"]}, "Sentinel and Cluster know their replicas"),
        ("rediss://h", {"replicas": [1]}, "valid is a list of host:port"),
        ("redis://h", {"ssl_ca_certs": "/ca.pem"}, "ssl_ca_certs: valid only with TLS"),
        ("rediss://h", {"ssl_check_hostname": "perhaps"}, "valid is true or false"),
        ("rediss://h", {"ssl_cert_reqs": "optional"}, "valid is required or none"),
        ("rediss://h", {"ssl_keyfile": "k"}, "it needs ssl_certfile"),
    ],
)
def test_wrong_settings_are_named(url: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        parse_address(url, options)
    assert "s3cret" not in str(caught.value)


def test_a_certificate_file_that_is_not_there_is_named() -> None:
    address: RedisAddress = parse_address("rediss://h", {"ssl_ca_certs": "/nonexistent/ca.pem"})
    with pytest.raises(SettingsError, match=r"ssl_ca_certs: found '/nonexistent/ca.pem', which cannot be loaded"):
        tls_context(address.access())
