"""Lossless JPEG (ITU-T T.81, process 14, predictor 1), the compression of DNG raw data."""

from __future__ import annotations

import struct

import numpy as np

from paddle_restore.arithmetic import round_up

# One Huffman table for every picture: the 5-bit code of a difference category is its number. Cameras fit
# the table to the picture; decoders read both.
_CODE_BITS = 5
_CATEGORIES = 17


def encode(mosaic: np.ndarray, bits: int) -> bytes:
    """Encode a (H, W) array of `bits`-bit unsigned values (2-16) as one lossless JPEG."""
    height, width = mosaic.shape
    samples = mosaic.astype(np.int32)
    predicted = np.empty_like(samples)
    predicted[:, 1:] = samples[:, :-1]
    predicted[1:, 0] = samples[:-1, 0]
    predicted[0, 0] = 1 << (bits - 1)
    # Differences are modulo 2^16, from -32767 to 32768 (T.81, H.1.2.1).
    difference = ((samples - predicted + 32767) & 0xFFFF) - 32767

    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xC3, struct.pack(">BHHB3B", bits, height, width, 1, 0, 0x11, 0)),
            _segment(0xC4, bytes([0, *(_CATEGORIES * (i == _CODE_BITS) for i in range(1, 17)), *range(17)])),
            _segment(0xDA, bytes([1, 0, 0, 1, 0, 0])),
            _entropy_coded(difference.ravel()),
            b"\xff\xd9",
        ]
    )


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _entropy_coded(difference: np.ndarray) -> bytes:
    """Return category codes, each followed by the low bits of its difference; 0xFF bytes are stuffed."""
    category = np.frexp(np.abs(difference).astype(np.float64))[1]  # bit length of |difference|
    extra_bits = np.where(category == 16, 0, category)  # category 16 is the number 32768, without bits
    extra = np.where(difference < 0, difference - 1, difference) & ((1 << extra_bits) - 1)
    value = (category << extra_bits) | extra
    length = extra_bits + _CODE_BITS
    start = np.cumsum(length) - length
    stream = np.ones(round_up(int(length.sum()), 8), np.uint8)  # padded with ones to a whole byte
    for k in range(int(length.max())):
        longer = length > k
        stream[start[longer] + k] = (value[longer] >> (length[longer] - 1 - k)) & 1
    return np.packbits(stream).tobytes().replace(b"\xff", b"\xff\x00")
