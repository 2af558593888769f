"""Messages name entities by their values."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as PyDecimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.codec.entity_values import entity_of, show_entity, storage_id_of
from featurestore.codec.keys import KeyCodec, lock_key
from featurestore.spec.dtypes import Bool, Bytes, Date, Decimal, Int32, Int64, String, Timestamp
from tests.support.rows import fields_of

FIELDS = fields_of(a=String, b=Int32, c=Bytes, d=Bool, e=Date, f=Timestamp, g=Decimal(9, 2), h=Int64, i=String)


@given(
    a=st.text(max_size=200),
    b=st.integers(-(2**31), 2**31 - 1),
    c=st.binary(max_size=9),
    d=st.booleans(),
    e=st.dates(),
    f=st.datetimes(timezones=st.just(UTC)),
    g=st.decimals(-1000, 1000, places=2),
    h=st.integers(-(2**63), 2**63 - 1),
    i=st.text(max_size=3),
)
def test_a_key_tells_its_entity(**values: object) -> None:
    codec = KeyCodec(project_id=3, storage_id=300, fields=FIELDS)
    [key] = codec.encode({name: [value] for name, value in values.items()})
    assert key is not None
    assert entity_of(key, FIELDS) == values
    assert (storage_id_of(key), storage_id_of(lock_key(key))) == (300, 0)


def test_it_is_shown_in_words() -> None:
    fields = fields_of(carrier=String, at=Timestamp, on=Date, amount=Decimal(5, 2))
    codec = KeyCodec(project_id=1, storage_id=1, fields=fields)
    row = {"carrier": "UA", "at": datetime(2026, 1, 1, tzinfo=UTC), "on": date(2026, 1, 2), "amount": PyDecimal("1.5")}
    [key] = codec.encode({name: [value] for name, value in row.items()})
    assert key is not None
    shown = show_entity(key, fields)
    assert shown == f"carrier='UA', at=2026-01-01T00:00:00Z, on=2026-01-02, amount=1.50 (key {key.hex()})"


@pytest.mark.parametrize("cut", [slice(0, -1), slice(0, 6)])
def test_a_key_of_other_fields_is_refused(cut: slice) -> None:
    codec = KeyCodec(project_id=1, storage_id=1, fields=fields_of(a=Int64))
    [key] = codec.encode({"a": [1]})
    assert key is not None
    with pytest.raises(ValueError, match="key"):
        entity_of(key[cut], codec.fields)
    with pytest.raises(ValueError, match="longer"):
        entity_of(key + b"x", codec.fields)
