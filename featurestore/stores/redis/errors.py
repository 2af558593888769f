"""What can go wrong with a Redis server, what helps, and which of the package's errors it becomes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from featurestore.errors import DeadlineExceeded, FeatureStoreError, OnlineStoreUnavailable, StateError

__all__ = [
    "RULINGS",
    "Failure",
    "Late",
    "LostConnection",
    "Remedy",
    "ReplyError",
    "Ruling",
    "Untrusted",
    "ruling",
    "translate",
]


class Failure(Exception):
    """Anything but an answer; ``translate`` turns it into an error of the package. ``server`` says whose it is."""

    server: str = ""


class LostConnection(Failure):
    """No connection was made, it ended, or what answers does not speak Redis' protocol."""


class Untrusted(LostConnection):
    """The server's certificate is not one that the settings trust."""


class Late(Failure):
    """The deadline passed while a connection or an answer was waited for."""


class ReplyError(Failure):
    """A reply of the server that is an error; its text begins with a code."""

    @property
    def code(self) -> str:
        """The code that rules: a script's error says within its text what its command was answered."""
        text = str(self)
        found = _CODE.search(text)
        return found[1] if found else text.partition(" ")[0]


class Remedy(StrEnum):
    """What makes the same command succeed, if anything does."""

    NONE = "none"
    WAIT = "the same server, a little later"
    LOOK = "ask again who serves, then a little later"
    MOVED = "another server, from now on"
    ASK = "another server, this once"
    LOAD = "load the script first"


@dataclass(frozen=True, slots=True)
class Ruling:
    """The package's error for a failure, advice for its reader, and the remedy that the store tries before."""

    kind: type[FeatureStoreError]
    advice: str
    remedy: Remedy = Remedy.NONE


_START = "check that it runs and that online_store.connection_string names it; `featurestore doctor` tells both"
_RIGHTS = "check user name, password and the user's ACL"
_LATER = "try again"
_CLUSTER = "it is part of a cluster; use a connection string that starts with redis+cluster://"
_NOT_OURS = "a key may hold something this program did not write"
_Lost = OnlineStoreUnavailable

RULINGS: dict[str, Ruling] = {
    "ASK": Ruling(_Lost, _CLUSTER, Remedy.ASK),
    "BUSY": Ruling(_Lost, "somebody's script holds it up; `redis-cli SCRIPT KILL` ends it", Remedy.WAIT),
    "CLUSTERDOWN": Ruling(_Lost, "some of its slots have no server; " + _LATER, Remedy.LOOK),
    "CROSSSLOT": Ruling(_Lost, _CLUSTER),
    "EXECABORT": Ruling(_Lost, _LATER),
    "LOADING": Ruling(_Lost, "it is loading its data set; " + _LATER, Remedy.WAIT),
    "MASTERDOWN": Ruling(_Lost, "it is a replica that lost its primary; " + _LATER, Remedy.LOOK),
    "MISCONF": Ruling(_Lost, "it cannot save its data and refuses writes; look at its log and disk"),
    "MOVED": Ruling(_Lost, _CLUSTER, Remedy.MOVED),
    "NOAUTH": Ruling(_Lost, _RIGHTS),
    "NOPERM": Ruling(_Lost, _RIGHTS),
    "NOREPLICAS": Ruling(_Lost, "too few replicas are connected for its min-replicas-to-write", Remedy.WAIT),
    "NOSCRIPT": Ruling(_Lost, "scripts vanish as soon as they are loaded; is it flushed all the time?", Remedy.LOAD),
    "OOM": Ruling(_Lost, "its memory is full: raise maxmemory"),
    "READONLY": Ruling(_Lost, "it is a replica; connect to the primary", Remedy.LOOK),
    "TRYAGAIN": Ruling(_Lost, "a slot is being moved; " + _LATER, Remedy.WAIT),
    "UNKILLABLE": Ruling(_Lost, "somebody's script holds it up", Remedy.WAIT),
    "WRONGPASS": Ruling(_Lost, _RIGHTS),
    "WRONGTYPE": Ruling(StateError, _NOT_OURS),
}
"""By the code of the reply."""

_PLAIN = (
    ("max number of clients", Ruling(_Lost, "raise its maxclients, or lower max_connections", Remedy.WAIT)),
    ("password", Ruling(_Lost, _RIGHTS)),
    ("'auth' command", Ruling(_Lost, _RIGHTS)),
    ("ldap", Ruling(_Lost, _RIGHTS)),
    ("can't run this command", Ruling(_Lost, _RIGHTS)),
    ("unknown command", Ruling(_Lost, "Redis 6.2 or newer is what is needed")),
    ("cluster support disabled", Ruling(_Lost, "it is no cluster; use redis:// as its connection string's start")),
)
"""By a part of the text, for replies with the code ERR only."""

_CODE = re.compile(rf"(?:^|-)({'|'.join(RULINGS)})(?: |$)")
"""Where Redis says the code: at the start, and for a command of a script within the script's own error."""


def ruling(failure: Failure) -> Ruling:
    """Say what a failure is and what helps."""
    if isinstance(failure, Late):
        return Ruling(DeadlineExceeded, "give the call a longer deadline, or look at the server's slow log")
    if isinstance(failure, Untrusted):
        return Ruling(OnlineStoreUnavailable, "check ssl_ca_certs, and that its certificate names the host")
    if not isinstance(failure, ReplyError):
        return Ruling(OnlineStoreUnavailable, _START, Remedy.LOOK)
    if found := RULINGS.get(failure.code):
        return found
    lower = str(failure).lower()
    return next((found for part, found in _PLAIN if part in lower), Ruling(StateError, _NOT_OURS))


def translate(failure: Failure, *, command: str, address: str) -> FeatureStoreError:
    """Give the error to raise instead."""
    found = ruling(failure)
    where = f"{address} ({failure.server})" if failure.server not in address else address
    return found.kind(
        f"{command} at {where} failed: {failure}; {found.advice}",
        command=command,
        address=address,
        cause=failure.code if isinstance(failure, ReplyError) else type(failure).__name__,
    )
