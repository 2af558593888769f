"""Models behind a server: the Open Inference Protocol (KServe v2) over HTTP, in JSON."""

from __future__ import annotations

import contextlib
import json
import os
import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from featurestore.ir.nodes import ModelServerNode
from featurestore.models.base import Arrays, ModelMismatch
from featurestore.models.columns import named_columns, pick_outputs

if TYPE_CHECKING:
    import httpx

__all__ = ["ServerModel"]

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5
_MOST_BYTES = 256 << 20
_CONNECTIONS = 64

_DATATYPES = {"b": "BOOL", "i4": "INT32", "i8": "INT64", "f4": "FP32", "f8": "FP64"}
_DTYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}


class ServerModel:
    """One model version on a server; threads share its connections, a forked child opens its own.

    A call sends each input as a tensor of shape [rows, 1] and asks for all outputs. It ends after ``timeout``; while
    that lasts a connection that cannot be made is tried again. Anything else is tried once.
    """

    def __init__(self, name: str, version: str, node: ModelServerNode) -> None:
        self._node = node
        self._name = name
        self._version = version
        self._seconds = node.timeout.total_seconds()
        self._url = f"{node.url.rstrip('/')}/v2/models/{name}/versions/{version}/infer"
        self._client: httpx.Client | None = None
        self._pid = 0

    def predict(self, inputs: Arrays) -> dict[str, np.ndarray[Any, Any]]:
        """Give the view's outputs; ModelMismatch says what the server did instead."""
        columns = named_columns(self._node, inputs)
        request = {"inputs": [_tensor(name, values) for name, values in columns.items()]}
        body = json.dumps(request, allow_nan=False, separators=(",", ":")).encode()
        answer = self._answer(self._post(body))
        count = len(next(iter(columns.values()))) if columns else 0
        found = {str(output.get("name")): _array(output, count) for output in answer["outputs"]}
        return pick_outputs(self._node, found)

    def _post(self, body: bytes) -> bytes:
        import httpx

        ends = time.monotonic() + self._seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                return self._send(body, ends)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if time.monotonic() + pause >= ends:
                    raise self._unreachable(error) from error
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            except httpx.TimeoutException as error:
                raise self._late() from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise ModelMismatch(f"at {self._url} broke the call off: {_told(error)}") from error

    def _send(self, body: bytes, ends: float) -> bytes:
        """Send one request and read its answer, all before ``ends``."""
        left = max(ends - time.monotonic(), 0.001)
        headers = {"content-type": "application/json"}
        with self._connections().stream("POST", self._url, content=body, headers=headers, timeout=left) as response:
            parts: list[bytes] = []
            size = 0
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if time.monotonic() > ends:
                    raise self._late()
                if size > _MOST_BYTES:
                    raise ModelMismatch(f"at {self._url} answered more than {_MOST_BYTES >> 20} MB")
            found = b"".join(parts)
            if response.status_code != 200:
                raise ModelMismatch(f"at {self._url} answered {response.status_code}: {_excerpt(found)}")
            return found

    def _answer(self, found: bytes) -> Mapping[str, Any]:
        try:
            answer = json.loads(found)
        except ValueError:
            answer = None
        if not isinstance(answer, Mapping) or not isinstance(answer.get("outputs"), list):
            raise ModelMismatch(f"at {self._url} answered {_excerpt(found)}; valid is JSON with a list of outputs")
        for field, asked in (("model_name", self._name), ("model_version", self._version)):
            if answer.get(field) not in (None, "", asked):
                raise ModelMismatch(f"at {self._url} answered for {field} {answer[field]!r}; asked was {asked!r}")
        return answer

    def _connections(self) -> httpx.Client:
        import httpx

        if self._client is None or self._pid != os.getpid():
            limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
            self._client, self._pid = httpx.Client(limits=limits, trust_env=False), os.getpid()
            weakref.finalize(self, self._client.close)
        return self._client

    def _late(self) -> ModelMismatch:
        return ModelMismatch(f"at {self._url} gave no answer within its timeout of {self._seconds:g} s")

    def _unreachable(self, error: Exception) -> ModelMismatch:
        return ModelMismatch(
            f"at {self._url} cannot be reached within its timeout of {self._seconds:g} s: {_told(error)}; check that "
            "the server runs and that server= names it"
        )


def _tensor(name: str, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Write one input; what has no value is null, instants are microseconds, other types their text."""
    if values.dtype.kind == "M" and values.dtype != np.dtype("datetime64[D]"):
        missing = np.isnat(values)
        values = values.astype("datetime64[us]").astype(np.int64)
        data = [None if gone else value for value, gone in zip(values.tolist(), missing.tolist(), strict=True)]
        return {"name": name, "shape": [len(data), 1], "datatype": "INT64", "data": data}
    kind = values.dtype.kind
    datatype = _DATATYPES.get(kind if kind == "b" else f"{kind}{values.dtype.itemsize}")
    if datatype is None:
        return {"name": name, "shape": [len(values), 1], "datatype": "BYTES", "data": _texts(name, values)}
    data = values.tolist()
    if kind == "f":
        if np.isinf(values).any():
            raise ModelMismatch(f"gets an infinite {name!r}, which JSON cannot hold; map it in an on-demand view")
        data = [None if value != value else value for value in data]
    return {"name": name, "shape": [len(data), 1], "datatype": datatype, "data": data}


def _texts(name: str, values: np.ndarray[Any, Any]) -> list[Any]:
    items = values.tolist()
    for item in items:
        if isinstance(item, bytes | list | dict):
            raise ModelMismatch(
                f"gets a {type(item).__name__} in input {name!r}; a server gets numbers, flags, instants and text"
            )
    return [item if item is None or isinstance(item, bool | int | float) else str(item) for item in items]


def _array(output: Any, count: int) -> np.ndarray[Any, Any]:
    """Read one output: one value, or one row of values, for each of the rows."""
    name, datatype = output.get("name"), output.get("datatype")
    shape, data = output.get("shape"), output.get("data")
    if datatype not in _DTYPES:
        raise ModelMismatch(f"gives output {name!r} as {datatype!r}; valid are {', '.join(_DTYPES)} in JSON")
    if not isinstance(data, list) or not isinstance(shape, list):
        raise ModelMismatch(f"gives output {name!r} without data and shape in JSON")
    try:
        array = np.array(_flat(data), dtype=_DTYPES[datatype])
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelMismatch(f"gives output {name!r} with data that is not {datatype}: {error}") from error
    if not shape or shape[0] != count or int(np.prod(shape)) != array.size:
        raise ModelMismatch(
            f"gives output {name!r} with shape {shape} and {array.size} values; valid is one row for each of the "
            f"{count} rows"
        )
    return array if array.size == count else array.reshape(count, -1)


def _flat(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        data = [item for part in data for item in part]
    return data


def _excerpt(found: bytes) -> str:
    text = found.decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError, KeyError, TypeError):  # no JSON, or of another server's making
        text = str(json.loads(text)["error"])
    return f"{text[:200]}…" if len(text) > 200 else text or "nothing"


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
