"""What libsndfile writes of the time: taken out of a file, so that the same samples give the same bytes."""

from __future__ import annotations

import functools
import os
import struct
from typing import BinaryIO

_POLYNOMIAL = 0x04C11DB7
_PAGE = struct.Struct("<4sBBqIIIB")  # capture pattern, version, type, position, serial, number, checksum, segments
_SERIAL = 1
_SERIAL_AT = 14


def remove_stamps(file: BinaryIO) -> None:
    """Take out the time a WAV of floating numbers was written at, and the random serial number of an Ogg stream.

    Args:
        file: open for reading and writing.

    Source: RFC 3533 (Ogg); the PEAK chunk of libsndfile.
    """
    file.seek(0)
    kind = file.read(4)
    if kind == b"OggS":
        _set_serials(file)
    elif kind == b"RIFF":
        _clear_peak_time(file)


def _clear_peak_time(file: BinaryIO) -> None:
    """Walk the chunks before the sound to the one with the peaks, whose second number is the time."""
    file.seek(12)
    while (head := file.read(8)) and head[:4] not in (b"PEAK", b"data"):
        size = int.from_bytes(head[4:], "little")
        file.seek(size + size % 2, os.SEEK_CUR)
    if head[:4] == b"PEAK":
        file.seek(4, os.SEEK_CUR)
        file.write(bytes(4))


def _set_serials(file: BinaryIO) -> None:
    """Give every page the same serial number, and the checksum that goes with it."""
    start = 0
    while True:
        file.seek(start)
        head = file.read(_PAGE.size)
        if len(head) < _PAGE.size:
            return
        *before, serial, number, checksum, segments = _PAGE.unpack(head)
        size = _PAGE.size + segments + sum(file.read(segments))
        change = int.from_bytes(struct.pack("<I", serial ^ _SERIAL), "big")
        checksum ^= _advance(change, size - _SERIAL_AT)
        file.seek(start)
        file.write(_PAGE.pack(*before, _SERIAL, number, checksum, segments))
        start += size


def _advance(change: int, count: int) -> int:
    """Return what four changed bytes change in a checksum of ``count`` bytes that begin with them.

    A checksum is linear: it is the change times a power of x, modulo the polynomial.
    """
    power = 0
    while count:
        if count & 1:
            change = _times(change, _power(power))
        count, power = count >> 1, power + 1
    return change


@functools.cache
def _power(number: int) -> int:
    """Return x to the power of ``8 * 2**number``."""
    return 1 << 8 if number == 0 else _times(_power(number - 1), _power(number - 1))


def _times(a: int, b: int) -> int:
    """Multiply two polynomials over the field of two elements, modulo that of the checksum."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a >> 32:
            a = (a & 0xFFFFFFFF) ^ _POLYNOMIAL
        b >>= 1
    return product
