"""Reproducible random draws: random words, and lookup tables of whole numbers that turn them into draws.

All randomness comes from the raw words of NumPy's PCG64, a stream that NumPy guarantees to keep (unlike the methods of
its Generator), and everything made of them is whole-number arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp
from statistics import NormalDist

import numpy as np

# Lookup tables have an entry for each value of 16 random bits.
CHOICES = 2**16


def words_of(*key: int) -> np.random.PCG64:
    """Return the stream of random words that belongs to a key."""
    return np.random.PCG64(np.random.SeedSequence(key))


def feed_words(feed: str, seed: int, number: int) -> np.random.PCG64:
    """Return a feed's stream of random words with a number: it differs from those of other feeds, seeds and numbers."""
    return words_of(seed, number, int.from_bytes(feed.encode("ascii")))


def bits(words: np.ndarray, first: int, count: int) -> np.ndarray:
    """Return ``count`` bits of each word, from the given one on, as int64."""
    return (words >> np.uint64(first) & np.uint64(2**count - 1)).astype(np.int64)


def below(limit: int, draws: np.ndarray, count: int) -> np.ndarray:
    """Turn draws of so many bits into whole numbers from 0 up to the limit (excluded), as evenly as the bits allow."""
    return draws * limit >> count


def lookup(weights: Iterable[int]) -> np.ndarray:
    """Return a table of CHOICES entries in which each index occurs in proportion to its weight."""
    bounds = np.cumsum(list(weights))
    points = (np.arange(CHOICES) * 2 + 1) * int(bounds[-1]) // (2 * CHOICES)
    return np.searchsorted(bounds, points, side="right")


def log_normal(sigma: float) -> np.ndarray:
    """Return a log-normal table for sizes and lengths: CHOICES quantiles of exp(N(0, sigma)), in thousandths."""
    normal = NormalDist()
    return np.array([round(1000 * exp(sigma * normal.inv_cdf((index + 0.5) / CHOICES))) for index in range(CHOICES)])


def texts(values: Iterable[str]) -> np.ndarray:
    """Return texts as an array that can be indexed."""
    return np.array(list(values), dtype=object)
