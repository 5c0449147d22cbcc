"""Chance that is the same everywhere: random words, and the whole-number tables that make draws of them.

All chance comes from the raw words of NumPy's PCG64, a stream that NumPy promises to keep (it makes no such
promise for the methods of its Generator), and everything made of them is whole-number arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp
from statistics import NormalDist

import numpy as np

# Lookup tables are as long as 16 random bits reach.
CHOICES = 2**16


def words_of(*key: int) -> np.random.PCG64:
    """The stream of random words that belongs to a key."""
    return np.random.PCG64(np.random.SeedSequence(key))


def feed_words(feed: str, seed: int, number: int) -> np.random.PCG64:
    """A feed's stream of random words with a number: it shares none with other feeds, seeds or numbers."""
    return words_of(seed, number, int.from_bytes(feed.encode("ascii")))


def bits(words: np.ndarray, first: int, count: int) -> np.ndarray:
    """So many bits of each word, from the given one on, as int64."""
    return (words >> np.uint64(first) & np.uint64(2**count - 1)).astype(np.int64)


def below(limit: int, draws: np.ndarray, count: int) -> np.ndarray:
    """Draws of so many bits as whole numbers from 0 up to the limit, excluded; evenly, as far as the bits go."""
    return draws * limit >> count


def lookup(weights: Iterable[int]) -> np.ndarray:
    """A table of CHOICES entries in which each index comes as often as its weight says."""
    bounds = np.cumsum(list(weights))
    points = (np.arange(CHOICES) * 2 + 1) * int(bounds[-1]) // (2 * CHOICES)
    return np.searchsorted(bounds, points, side="right")


def log_normal(sigma: float) -> np.ndarray:
    """Log-normal, as sizes and lengths mostly are: the CHOICES quantiles of exp(N(0, sigma)), in thousandths."""
    normal = NormalDist()
    return np.array([round(1000 * exp(sigma * normal.inv_cdf((index + 0.5) / CHOICES))) for index in range(CHOICES)])


def texts(values: Iterable[str]) -> np.ndarray:
    """Texts as an array that can be picked from by index."""
    return np.array(list(values), dtype=object)
