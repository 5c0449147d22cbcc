"""What one of Spark's tasks has to read: one large item, or several small ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

# Small files are put together until a task has so many bytes to read.
TASK_BYTES = 32 * 2**20
MOST_FILES_A_TASK = 200

T = TypeVar("T")


def packed(found: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield lists for tasks: a large item alone, several small ones together."""
    some: list[T] = []
    size = 0
    for one in found:
        if some and (size + size_of(one) > TASK_BYTES or len(some) == MOST_FILES_A_TASK):
            yield some
            some, size = [], 0
        some.append(one)
        size += size_of(one)
    if some:
        yield some
