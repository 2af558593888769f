"""Where Redis is and how to reach it: connection strings and options, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from featurestore.errors import SettingsError

__all__ = ["Access", "Kind", "Node", "Options", "RedisAddress", "parse_address"]


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """One server: a host with a port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Kind(StrEnum):
    """How servers share the keys."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to log in to a server. ``tls`` says whether its certificate is checked against ``ssl_ca_certs``."""

    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    client_name: str = ""
    tls: bool = False
    ssl_ca_certs: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    ssl_keyfile_password: str = field(default="", repr=False)
    ssl_check_hostname: bool = True
    ssl_cert_reqs: str = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``online_store`` may say beside ``type`` and ``connection_string``; docs/online-store.md explains each."""

    username: str = ""
    password: str = field(default="", repr=False)
    db: int = 0
    client_name: str = "featurestore"
    deadline: float = 5.0
    write_deadline: float = 30.0
    max_connections: int = 64
    retries: int = 3
    read_from: str = "primary"
    replicas: tuple[str, ...] = ()
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    ssl_ca_certs: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    ssl_keyfile_password: str = field(default="", repr=False)
    ssl_check_hostname: bool = True
    ssl_cert_reqs: str = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """Servers to begin with, how they share the keys, and the options; ``str`` names it without credentials."""

    kind: Kind
    nodes: tuple[Node, ...]
    service: str = ""
    tls: bool = False
    options: Options = Options()

    def __str__(self) -> str:
        names = ",".join(map(str, self.nodes))
        if self.nodes[0].path:
            return f"unix://{names} (db {self.options.db})"
        scheme = "rediss" if self.tls else "redis"
        match self.kind:
            case Kind.SERVER:
                return f"{scheme}://{names}/{self.options.db}"
            case Kind.SENTINEL:
                return f"{scheme}+sentinel://{names}/{self.service}/{self.options.db}"
            case Kind.CLUSTER:
                return f"{scheme}+cluster://{names}"

    def access(self) -> Access:
        """Give the log-in to servers that hold data."""
        return self._access(self.options.username, self.options.password, self.options.db)

    def sentinel_access(self) -> Access:
        """Give the log-in to the Sentinels, which have users and passwords of their own."""
        return self._access(self.options.sentinel_username, self.options.sentinel_password, 0)

    def replicas(self) -> tuple[Node, ...]:
        """Give the read replicas that the options name."""
        return tuple(_node(text, _PORTS[self.kind], "replicas") for text in self.options.replicas)

    def _access(self, username: str, password: str, database: int) -> Access:
        options = self.options
        return Access(
            username=username,
            password=password,
            database=database,
            client_name=options.client_name,
            tls=self.tls,
            ssl_ca_certs=options.ssl_ca_certs,
            ssl_certfile=options.ssl_certfile,
            ssl_keyfile=options.ssl_keyfile,
            ssl_keyfile_password=options.ssl_keyfile_password,
            ssl_check_hostname=options.ssl_check_hostname,
            ssl_cert_reqs=options.ssl_cert_reqs,
        )


_SCHEMES = {
    "redis": (Kind.SERVER, False),
    "rediss": (Kind.SERVER, True),
    "unix": (Kind.SERVER, False),
    "redis+sentinel": (Kind.SENTINEL, False),
    "rediss+sentinel": (Kind.SENTINEL, True),
    "redis+cluster": (Kind.CLUSTER, False),
    "rediss+cluster": (Kind.CLUSTER, True),
}
_PORTS = {Kind.SERVER: 6379, Kind.SENTINEL: 26379, Kind.CLUSTER: 6379}
_CHOICES = {"read_from": ("primary", "replica"), "ssl_cert_reqs": ("required", "none")}
_LEAST = {"db": 0, "retries": 0, "max_connections": 1}
_ALTERNATIVES = {"ssl_cert_reqs": {"CERT_REQUIRED": "required", "CERT_NONE": "none"}}
_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_DEFAULTS = {option.name: getattr(Options(), option.name) for option in fields(Options)}


def parse_address(url: str, options: Mapping[str, Any] | None = None) -> RedisAddress:
    """Read a connection string and options; what the string says counts before an option of the same name.

    SettingsError names what is wrong, never a credential.
    """
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme not in _SCHEMES:
        shown = scheme or url.partition(":")[0] or "none"
        raise SettingsError(
            f"online_store: connection_string: found scheme {shown!r}; valid are {'://, '.join(_SCHEMES)}://",
            scheme=shown,
        )
    kind, tls = _SCHEMES[scheme]
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise SettingsError(f"online_store: connection_string: it is no URL: {error}") from error
    given: dict[str, Any] = dict(options or {}) | dict(parse_qsl(parts.query))
    hosts = parts.netloc
    if "@" in hosts:
        login, hosts = hosts.rsplit("@", 1)
        username, _, password = login.partition(":")
        given |= {name: unquote(part) for name, part in (("username", username), ("password", password)) if part}
    service = ""
    if scheme == "unix":
        nodes: tuple[Node, ...] = (Node(path=unquote(hosts + parts.path)),)
    else:
        nodes = tuple(_node(host, _PORTS[kind]) for host in (hosts or "localhost").split(","))
        service, database = _path(parts, kind)
        if database:
            given["db"] = database
    checked = Options(**{name: _checked(name, value) for name, value in given.items()})
    address = RedisAddress(kind=kind, nodes=nodes, service=service, tls=tls, options=checked)
    _check_together(address)
    return address


def _path(parts: SplitResult, kind: Kind) -> tuple[str, str]:
    """Give service and database: ``/db``, for Sentinel ``/service`` or ``/service/db``."""
    pieces = [unquote(piece) for piece in parts.path.split("/") if piece]
    service = pieces.pop(0) if kind is Kind.SENTINEL and pieces else ""
    if len(pieces) > 1:
        raise SettingsError(f"online_store: connection_string: found path {parts.path!r}; valid is a database's number")
    return service, pieces[0] if pieces else ""


def _node(text: str, port: int, where: str = "connection_string") -> Node:
    host, colon, number = text.rpartition(":")
    if not colon or number.endswith("]"):
        host, number = text, str(port)
    host = host.strip("[]")
    if not host or not number.isdigit() or not 0 < int(number) < 65536:
        raise SettingsError(f"online_store: {where}: found server {text!r}; valid is host or host:port")
    return Node(host=host, port=int(number))


def _checked(name: str, value: Any) -> Any:
    """Give the option's value in its type; text is read as a connection string's query and ``${VAR}`` write it."""
    if name not in _DEFAULTS:
        raise SettingsError(
            f"online_store: unknown option {name}; valid are type, connection_string, {', '.join(sorted(_DEFAULTS))}"
        )
    default = _DEFAULTS[name]
    shown = "a value that is not shown" if "password" in name else repr(value)
    if name in _CHOICES:
        value = _ALTERNATIVES.get(name, {}).get(value, value)
        if value not in _CHOICES[name]:
            raise _wrong(name, shown, " or ".join(_CHOICES[name]))
        return value
    match default:
        case bool():
            read = value if isinstance(value, bool) else _YES_NO.get(str(value).lower())
            if read is None:
                raise _wrong(name, shown, "true or false")
            return read
        case int() | float():
            number = _number(value, type(default))
            least = _LEAST.get(name)
            if number is None or (number <= 0 if least is None else number < least):
                valid = "a number of seconds above 0" if least is None else f"a whole number from {least} on"
                raise _wrong(name, shown, valid)
            return number
        case tuple():
            entries = value.split(",") if isinstance(value, str) else value
            if not isinstance(entries, Sequence) or not all(isinstance(entry, str) for entry in entries):
                raise _wrong(name, shown, "a list of host:port")
            return tuple(entries)
        case _:
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise _wrong(name, shown, "text")
            return str(value)


def _number(value: Any, kind: type[int] | type[float]) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = kind(value)
    except ValueError:
        return None
    return number if isinstance(value, str) or number == value else None


def _wrong(name: str, shown: str, valid: str) -> SettingsError:
    return SettingsError(f"online_store: {name}: found {shown}; valid is {valid}")


def _check_together(address: RedisAddress) -> None:
    options = address.options
    if address.kind is Kind.SENTINEL and not address.service:
        raise SettingsError(
            "online_store: connection_string: the service that the Sentinels watch is missing; "
            "valid is redis+sentinel://host:port,host:port/service or …/service/db"
        )
    if address.kind is Kind.CLUSTER and options.db:
        raise SettingsError(f"online_store: db: found {options.db}; a cluster has database 0 only")
    if address.kind is Kind.SERVER and len(address.nodes) > 1:
        raise SettingsError(
            "online_store: connection_string: found several servers; valid with several are redis+sentinel:// and "
            "redis+cluster://; read replicas of one server are named by `replicas`"
        )
    if options.replicas and (address.kind is not Kind.SERVER or address.nodes[0].path):
        raise SettingsError(
            "online_store: replicas: valid only with redis:// and rediss://; Sentinel and Cluster know their replicas"
        )
    address.replicas()
    if options.read_from == "replica" and address.kind is Kind.SERVER and not options.replicas:
        raise SettingsError("online_store: read_from: found 'replica'; name the servers in `replicas: [host:port]`")
    if options.ssl_keyfile and not options.ssl_certfile:
        raise SettingsError("online_store: ssl_keyfile: it needs ssl_certfile beside it")
    ignored = [name for name in _DEFAULTS if name.startswith("ssl_") and getattr(options, name) != _DEFAULTS[name]]
    if ignored and not address.tls:
        raise SettingsError(
            f"online_store: {', '.join(ignored)}: valid only with TLS, whose connection strings start with rediss"
        )
