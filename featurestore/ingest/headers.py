"""The input rows of a prediction as they stand when it is accepted: the digest and time that it is stored with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featurestore.codec.digest import Header, inputs_digest
from featurestore.codec.keys import KeyCodec
from featurestore.codec.value import RowCodec
from featurestore.ingest.frames import RawColumn
from featurestore.ir.columns import stored_features
from featurestore.ir.inputs import input_rows, key_columns
from featurestore.ir.nodes import PredictionViewNode
from featurestore.serving.snapshot import Snapshot
from featurestore.stores.base import OnlineReader

__all__ = ["AcceptedInputs", "OwnRows", "accepted_inputs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRows:
    """Feature rows of the same frame: they are the inputs of the predictions beside them, whatever is stored."""

    view: str
    event_us: np.ndarray[Any, Any]
    created_us: np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedInputs:
    """For each row the digest over its input rows' headers, and their greatest event time (the floor: no input)."""

    digest: np.ndarray[Any, Any]
    latest_us: np.ndarray[Any, Any]
    is_known: np.ndarray[Any, Any]


def accepted_inputs(
    store: OnlineReader,
    snapshot: Snapshot,
    view: PredictionViewNode,
    columns: Mapping[str, RawColumn],
    count: int,
    own: OwnRows | None,
) -> AcceptedInputs:
    """Read the headers of a prediction's inputs, in one round trip for all rows and input views.

    Order and contents are those of a lookup, so that the next one finds its inputs unchanged.
    """
    reads: list[tuple[RowCodec, list[bytes | None]] | OwnRows | None] = []
    for row in input_rows(snapshot.manifest, view):
        node, is_published = snapshot.current(row.view)
        names = key_columns(node, row.join_key_map)
        if own is not None and own.view == row.view and not row.join_key_map:
            reads.append(own)
        elif not is_published or snapshot.pointer is None or not set(names) <= set(columns):
            reads.append(None)
        else:
            codec = KeyCodec(project_id=snapshot.pointer.project_id, storage_id=node.storage_id, fields=node.join_keys)
            found = {key.name: columns[name] for key, name in zip(node.join_keys, names, strict=True)}
            reads.append((RowCodec(stored_features(node)), codec.encode(found, on_invalid="null")))
    headers = _headers(store, reads, count)
    floor = np.iinfo(np.int64).min
    latest = np.full(count, floor, np.int64)
    for present, event_us, _ in headers:
        latest = np.maximum(latest, np.where(present, event_us, floor))
    digest = inputs_digest(headers) if headers else np.zeros(count, np.int64)
    return AcceptedInputs(digest=digest, latest_us=latest, is_known=latest != floor)


def _headers(
    store: OnlineReader, reads: list[tuple[RowCodec, list[bytes | None]] | OwnRows | None], count: int
) -> list[Header]:
    wanted = [key for read in reads if isinstance(read, tuple) for key in read[1] if key is not None]
    found = iter(store.read(wanted)) if wanted else iter(())
    absent = np.zeros(count, np.bool_), np.zeros(count, np.int64), np.zeros(count, np.int64)
    headers: list[Header] = []
    for read in reads:
        if read is None:
            headers.append(absent)
        elif isinstance(read, OwnRows):
            headers.append((np.ones(count, np.bool_), read.event_us, read.created_us))
        else:
            codec, keys = read
            decoded = codec.decode([None if key is None else next(found) for key in keys])
            headers.append((decoded.present, decoded.event_us, decoded.created_us))
    return headers
