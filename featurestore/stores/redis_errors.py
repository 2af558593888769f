"""Every error redis-py raises, as one of the package's own."""

from __future__ import annotations

import re

from redis import exceptions

from featurestore.errors import DeadlineExceeded, FeatureStoreError, OnlineStoreUnavailable, StateError

__all__ = ["TRANSLATIONS", "translate"]

_START = "check that it runs and that online_store.connection_string names it; `featurestore doctor` tells both"
_RIGHTS = "check user name, password and the user's ACL"
_LATER = "try again"
_CLUSTER = "this store talks to one Redis; use a connection string of a server that is not part of a cluster"
_OURS = "this is an error of the program, not of the server; please report it"

TRANSLATIONS: dict[type[Exception], tuple[type[FeatureStoreError], str]] = {
    exceptions.TimeoutError: (DeadlineExceeded, "give the call a longer deadline, or look at the server's slow log"),
    exceptions.ConnectionError: (OnlineStoreUnavailable, _START),
    exceptions.AuthenticationError: (OnlineStoreUnavailable, _RIGHTS),
    exceptions.AuthenticationWrongNumberOfArgsError: (OnlineStoreUnavailable, _RIGHTS),
    exceptions.AuthorizationError: (OnlineStoreUnavailable, _RIGHTS),
    exceptions.ExternalAuthProviderError: (OnlineStoreUnavailable, _RIGHTS),
    exceptions.NoPermissionError: (OnlineStoreUnavailable, _RIGHTS),
    exceptions.BusyLoadingError: (OnlineStoreUnavailable, "it is loading its data set; " + _LATER),
    exceptions.MaxConnectionsError: (
        OnlineStoreUnavailable,
        "too many connections are open; raise the server's maxclients",
    ),
    exceptions.ReadOnlyError: (OnlineStoreUnavailable, "it is a replica; connect to the primary"),
    exceptions.MasterDownError: (OnlineStoreUnavailable, "its primary is down; " + _LATER),
    exceptions.OutOfMemoryError: (
        OnlineStoreUnavailable,
        "its memory is full: raise maxmemory",
    ),
    exceptions.ExecAbortError: (OnlineStoreUnavailable, _LATER),
    exceptions.TryAgainError: (OnlineStoreUnavailable, _LATER),
    exceptions.ClusterError: (OnlineStoreUnavailable, _CLUSTER),
    exceptions.ClusterDownError: (OnlineStoreUnavailable, _CLUSTER),
    exceptions.ClusterCrossSlotError: (OnlineStoreUnavailable, _CLUSTER),
    exceptions.CrossSlotTransactionError: (OnlineStoreUnavailable, _CLUSTER),
    exceptions.RedisClusterException: (OnlineStoreUnavailable, _CLUSTER),
    exceptions.SlotNotCoveredError: (OnlineStoreUnavailable, _CLUSTER),
    exceptions.AskError: (OnlineStoreUnavailable, _CLUSTER),
    exceptions.MovedError: (OnlineStoreUnavailable, _CLUSTER),
    exceptions.NoScriptError: (
        OnlineStoreUnavailable,
        "scripts vanish as soon as they are loaded; is it flushed all the time?",
    ),
    exceptions.ModuleError: (OnlineStoreUnavailable, "Redis 6.2 or newer without modules is what is needed"),
    exceptions.InvalidResponse: (
        OnlineStoreUnavailable,
        "what answers there does not speak Redis' protocol; " + _START,
    ),
    exceptions.ChildDeadlockedError: (OnlineStoreUnavailable, _LATER),
    exceptions.ResponseError: (StateError, "a key may hold something this program did not write"),
    exceptions.DataError: (StateError, _OURS),
    exceptions.PubSubError: (StateError, _OURS),
    exceptions.WatchError: (StateError, _OURS),
    exceptions.LockError: (StateError, _OURS),
    exceptions.LockNotOwnedError: (StateError, _OURS),
    exceptions.InvalidPipelineStack: (StateError, _OURS),
    exceptions.RedisError: (OnlineStoreUnavailable, _START),
}


_CODES: dict[str, type[Exception]] = {
    "OOM": exceptions.OutOfMemoryError,
    "READONLY": exceptions.ReadOnlyError,
    "NOPERM": exceptions.NoPermissionError,
    "LOADING": exceptions.BusyLoadingError,
    "MASTERDOWN": exceptions.MasterDownError,
    "MISCONF": exceptions.ConnectionError,
    "NOREPLICAS": exceptions.ConnectionError,
    "BUSY": exceptions.TryAgainError,
}
_CODE = re.compile(rf"(?:^|-)({'|'.join(_CODES)}) ")
"""Where Redis says the code: at the start, and for a command of a script within the script's own error."""


def translate(error: exceptions.RedisError, *, command: str, address: str) -> FeatureStoreError:
    """Give the error to raise instead; the nearest class in the error's ancestry decides, or the server's code."""
    ancestry = type(error).__mro__
    if type(error) is exceptions.ResponseError and (code := _CODE.search(str(error))):
        ancestry = (_CODES[code[1]], *ancestry)
    kind, advice = next(TRANSLATIONS[ancestor] for ancestor in ancestry if ancestor in TRANSLATIONS)
    return kind(
        f"{command} at {address} failed: {type(error).__name__}: {error}; {advice}",
        command=command,
        address=address,
        cause=type(error).__name__,
    )
