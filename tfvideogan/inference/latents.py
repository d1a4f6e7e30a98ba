"""Latents without TensorFlow: those of seeds, by the stream behind its stateless random numbers, and those between.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): Philox4x32 with ten rounds, keyed as
TensorFlow's `StatelessRandomNormal` does it, and Box and Muller's transform.
"""

from __future__ import annotations

import numpy as np

_MULTIPLIERS = np.uint64([0xD2511F53, 0xCD9E8D57])
_WEYL = np.uint64([0x9E3779B9, 0xBB67AE85])  # The two words of the key grow by these with each round.
_SCRAMBLE = np.uint64([0x3EC8F720, 0x02461E29])  # TensorFlow's key for turning a seed into a key.
_LOW, _WORD = np.uint64(0xFFFFFFFF), np.uint64(32)


def normal(seed: int, count: int) -> np.ndarray:
    """float32 [count] from N(0, 1), as `tf.random.stateless_normal([count], [seed, 0])` gives them to 2e-6.

    Args:
        seed: a signed integer of 64 bits.
    """
    bits = int(seed) % 2**64
    mixed = _philox(np.uint64([[bits & 0xFFFFFFFF, bits >> 32, 0, 0]]), _SCRAMBLE)[0]
    counters = np.zeros([-(-count // 4), 4], np.uint64)
    counters[:, 0] = np.arange(len(counters))
    counters[:, 2:] = mixed[2:]
    return _box_muller(_philox(counters, mixed[:2])).reshape(-1)[:count]


def great_circle(start: np.ndarray, end: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Latents float32 [n, Z] on the way from `start` to `end` [Z], by shares [n] of it (spherical interpolation).

    Straight lines would lead through latents that are shorter than any drawn one.
    """
    shares = np.asarray(shares, np.float64)[:, np.newaxis]
    cosine = np.dot(start, end) / (np.linalg.norm(start) * np.linalg.norm(end))
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    if angle < 1e-6:  # There is no way to go, and the formula would divide by zero.
        return np.repeat(np.float32(start)[np.newaxis], len(shares), axis=0)
    way = (np.sin((1 - shares) * angle) * start + np.sin(shares * angle) * end) / np.sin(angle)
    return way.astype(np.float32)


def _philox(counters: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Counters [n, 4] and a key [2], words of 32 bits in uint64 -> random words [n, 4]."""
    words = counters.T
    for _ in range(10):
        first, second = words[0] * _MULTIPLIERS[0], words[2] * _MULTIPLIERS[1]
        words = np.stack([
            (second >> _WORD) ^ words[1] ^ key[0], second & _LOW, (first >> _WORD) ^ words[3] ^ key[1], first & _LOW,
        ])  # fmt: skip
        key = (key + _WEYL) & _LOW
    return words.T


def _box_muller(words: np.ndarray) -> np.ndarray:
    """Random words [n, 4] -> float32 [n, 4] from N(0, 1): each pair of words makes a pair of numbers."""
    uniform = (words & np.uint64(0x7FFFFF)).astype(np.float32) * np.float32(2.0**-23)  # It is in [0, 1).
    radius = np.sqrt(np.float32(-2) * np.log(np.maximum(uniform[:, 0::2], np.float32(1e-7))))
    angle = np.float32(2 * np.pi) * uniform[:, 1::2]
    return np.stack([np.sin(angle) * radius, np.cos(angle) * radius], axis=-1)
