"""Whole numbers in as few bytes as they need."""

from __future__ import annotations

__all__ = ["varint"]


def varint(number: int) -> bytes:
    """Write LEB128: seven bits a byte, low bits first, the high bit on all bytes but the last. Prefix-free."""
    if number < 0x80:
        return bytes((number,))
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(0x80 | (number & 0x7F))
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
