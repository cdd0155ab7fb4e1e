"""Lossless JPEG, as camera raw files have it: ITU-T T.81, process 14, predictor 1.

Everything is NumPy on 64-bit words: 24 megapixels take half a second of CPU time (docs/dng.md).
"""

from __future__ import annotations

import heapq
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_CATEGORIES = 17
_RESERVED = _CATEGORIES  # stands for the code of ones only, which T.81 allows for no category
_FLOOR = 2000  # no category counts for less than this part of all, so no code gets longer than 16 bits

# A difference modulo 2^16 -> its category (its number of bits), how many bits follow the code, and which.
# Category 16 is the number 32768 and has none. A negative number is followed by its bits less one.
_SIGNED = np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int32)
_CATEGORY = np.frexp(np.abs(_SIGNED).astype(np.float64))[1].astype(np.int64)
_EXTRA_BITS = np.where(_CATEGORY == 16, 0, _CATEGORY)
_EXTRA = (_SIGNED - (_SIGNED < 0)) & ((1 << _EXTRA_BITS) - 1)


def lossless_jpegs(tiles: Sequence[np.ndarray], bits: int, components: int) -> list[bytes]:
    """Encode (H, W) uint16 arrays of one shape and `bits`-bit values (2-16) as a JPEG each, in threads.

    The pixels of a row take turns in `components` components, so that a pixel is predicted from the nearest
    one at its left with its own colour. W must be divisible by `components`.
    """
    head = b"\xff\xd8" + _frame_segment(tiles[0].shape, bits, components)
    scan = [components, *(value for number in range(components) for value in (number, 0)), 1, 0, 0]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        differences = list(pool.map(lambda tile: _differences(tile, bits, components), tiles))
        counts = np.zeros(1 << 16, np.int64)
        for part in pool.map(lambda part: np.bincount(part.ravel(), minlength=1 << 16), differences):
            counts += part
        lengths = _code_lengths(np.bincount(_CATEGORY, counts, _CATEGORIES))
        values, value_bits = _tables(lengths)
        head += _huffman_segment(lengths) + _segment(0xDA, bytes(scan))

        def encode(part: np.ndarray) -> bytes:
            return head + _entropy_coded(values[part].ravel(), value_bits[part].ravel()) + b"\xff\xd9"

        return list(pool.map(encode, differences))


def _differences(samples: np.ndarray, bits: int, components: int) -> np.ndarray:
    """Return values less their predictions modulo 2^16: the left neighbour, or the upper at the left edge."""
    difference = samples.astype(np.uint16)
    difference[:, components:] -= samples[:, :-components]
    difference[1:, :components] -= samples[:-1, :components]
    difference[0, :components] -= np.uint16(1 << (bits - 1))
    return difference


def _code_lengths(counts: np.ndarray) -> dict[int, int]:
    """Return the bits of each category that occurs, and of `_RESERVED`, by Huffman's algorithm."""
    floor = max(1.0, counts.sum() / _FLOOR)
    used = [(max(float(count), floor), category) for category, count in enumerate(counts) if count]
    heap = [(weight, category, [category]) for weight, category in used]
    heap.append((0.0, _RESERVED, [_RESERVED]))
    heapq.heapify(heap)
    lengths = {category: 0 for _, category, _ in heap}
    while len(heap) > 1:
        weight, name, categories = heapq.heappop(heap)
        other_weight, _, others = heapq.heappop(heap)
        for category in categories + others:
            lengths[category] += 1
        heapq.heappush(heap, (weight + other_weight, name, categories + others))
    return lengths


def _tables(lengths: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the code with its extra bits (uint32), and how many bits these are, of every difference."""
    codes, code_bits = np.zeros(_CATEGORIES, np.int64), np.zeros(_CATEGORIES, np.int64)
    code, last = 0, 0
    for length, category in sorted((length, category) for category, length in lengths.items()):
        code <<= length - last
        last = length
        if category != _RESERVED:
            codes[category], code_bits[category] = code, length
        code += 1
    values = codes[_CATEGORY] << _EXTRA_BITS | _EXTRA
    return values.astype(np.uint32), (code_bits[_CATEGORY] + _EXTRA_BITS).astype(np.uint8)


def _entropy_coded(values: np.ndarray, lengths: np.ndarray) -> bytes:
    """Join values of up to 31 bits to a stream, padded with ones to a whole byte; 0xFF bytes are stuffed."""
    if values.size % 2:
        values, lengths = np.append(values, np.uint32(0)), np.append(lengths, np.uint8(0))
    # Two by two first, which halves the work.
    pairs = values[::2].astype(np.uint64) << lengths[1::2].astype(np.uint64) | values[1::2]
    bits = lengths[::2] + lengths[1::2]
    ends = np.cumsum(bits, dtype=np.int64)
    total = int(ends[-1])
    # Each pair starts in one 64-bit word and may end in the next. Every word has a pair that starts in it.
    free = 64 - ((ends - bits) & 63) - bits  # bits behind the pair in its word; negative if it goes on
    word = (ends - bits) >> 6
    first = np.flatnonzero(np.diff(word, prepend=-1))
    beyond = np.flatnonzero(free < 0)
    inside = pairs << np.maximum(free, 0).astype(np.uint64) >> np.maximum(-free, 0).astype(np.uint64)
    words = np.zeros(total // 64 + 2, np.uint64)
    words[: len(first)] = np.bitwise_or.reduceat(inside, first)
    words[word[beyond] + 1] |= pairs[beyond] << (64 + free[beyond]).astype(np.uint64)
    stream = words.astype(">u8").view(np.uint8)[: -(-total // 8)]
    stream[-1] |= (1 << (-total % 8)) - 1
    return stream.tobytes().replace(b"\xff", b"\xff\x00")


def _huffman_segment(lengths: dict[int, int]) -> bytes:
    order = sorted((length, category) for category, length in lengths.items() if category != _RESERVED)
    per_length = [sum(length == bits for length, _ in order) for bits in range(1, 17)]
    return _segment(0xC4, bytes([0, *per_length, *(category for _, category in order)]))


def _frame_segment(shape: tuple[int, ...], bits: int, components: int) -> bytes:
    height, width = shape
    parts = b"".join(bytes([component, 0x11, 0]) for component in range(components))
    return _segment(0xC3, struct.pack(">BHHB", bits, height, width // components, components) + parts)


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
