"""The approximate aggregations in plain Python, by their definitions in docs/aggregations.md."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal as DecimalValue
from typing import Any

from featurestore.intervals import to_micros

__all__ = ["approximate_distinct", "approximate_percentile", "xxh64"]

_M64 = 2**64 - 1
_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def approximate_percentile(values: Iterable[Any], percentile: float) -> float:
    """Give the middle of the log bucket, 2 % wide, in which the value of rank ``floor(percentile * (n - 1))`` lies."""
    ordered = sorted(map(float, values), key=lambda value: (math.isnan(value), value))
    value = ordered[math.floor(percentile * (len(ordered) - 1))]
    if value == 0 or math.isinf(value) or math.isnan(value):
        return value + 0.0
    gamma = 1.01 / 0.99
    bucket = math.ceil(math.log(abs(value)) / math.log(gamma))
    return math.copysign(2 / (gamma + 1) * gamma**bucket, value)


def approximate_distinct(values: Iterable[Any]) -> int:
    """Count different values by 16,384 HyperLogLog registers and the LogLog-Beta estimator."""
    registers = [0] * 16_384
    for value in values:
        digest = xxh64(_bytes_of(value))
        place, rest = digest % 16_384, digest >> 14
        registers[place] = max(registers[place], 51 - rest.bit_length())
    empty = registers.count(0)
    if empty == len(registers):
        return 0
    log = math.log(empty + 1)
    powers = (0.070471823, 0.17393686, 0.16339839, -0.09237745, 0.03738027, -0.005384159, 0.00042419)
    beta = -0.370393911 * empty + sum(factor * log**power for power, factor in enumerate(powers, 1))
    total = sum(2.0**-rank for rank in registers)
    alpha = 0.7213 / (1 + 1.079 / 16_384)
    return round(alpha * 16_384 * (16_384 - empty) / (beta + total))


def xxh64(data: bytes, seed: int = 42) -> int:
    """Hash bytes by XXH64 (Collet); Spark's xxhash64 has the seed 42."""
    at = 0
    if len(data) >= 32:
        lanes = [(seed + _P1 + _P2) & _M64, (seed + _P2) & _M64, seed, (seed - _P1) & _M64]
        while at + 32 <= len(data):
            for number in range(4):
                (word,) = struct.unpack_from("<Q", data, at + 8 * number)
                lanes[number] = _round(lanes[number], word)
            at += 32
        state = sum(_rotl(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & _M64
        for lane in lanes:
            state = ((state ^ _round(0, lane)) * _P1 + _P4) & _M64
    else:
        state = (seed + _P5) & _M64
    state = (state + len(data)) & _M64
    while at + 8 <= len(data):
        (word,) = struct.unpack_from("<Q", data, at)
        state = (_rotl(state ^ _round(0, word), 27) * _P1 + _P4) & _M64
        at += 8
    if at + 4 <= len(data):
        (word,) = struct.unpack_from("<I", data, at)
        state = (_rotl(state ^ (word * _P1 & _M64), 23) * _P2 + _P3) & _M64
        at += 4
    for byte in data[at:]:
        state = (_rotl(state ^ (byte * _P5 & _M64), 11) * _P1) & _M64
    state = ((state ^ (state >> 33)) * _P2) & _M64
    state = ((state ^ (state >> 29)) * _P3) & _M64
    return state ^ (state >> 32)


def _round(lane: int, word: int) -> int:
    return _rotl((lane + word * _P2) & _M64, 31) * _P1 & _M64


def _rotl(value: int, by: int) -> int:
    value &= _M64
    return ((value << by) | (value >> (64 - by))) & _M64


def _bytes_of(value: Any) -> bytes:
    """Give the bytes that stand for a value: int64 and float64 little-endian, text in UTF-8, a decimal's as text."""
    match value:
        case bool() | int():
            return struct.pack("<q", value)
        case float():
            return struct.pack("<d", math.nan if math.isnan(value) else value)
        case str():
            return value.encode()
        case bytes():
            return value
        case DecimalValue():
            return format(value.normalize(), "f").encode()
        case datetime():
            return struct.pack("<q", to_micros(value))
        case date():
            return struct.pack("<q", (value - date(1970, 1, 1)).days)
        case _:
            raise TypeError(f"no hash is defined for {type(value).__name__} {value!r}")
