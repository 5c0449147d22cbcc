"""The compiled part of the engine: ``scanner.c`` with its headers as a library, and how it is built.

``python -m kpis.engine.compiled`` builds it with the machine's C compiler, which ``make setup`` does. Its name holds a
digest of the source, so that a library of another version is never loaded. Without it, DuckDB does all the work, with
the same results in more time.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from ctypes import POINTER, c_char_p, c_int, c_int64, c_uint8, c_uint32, c_uint64, c_void_p
from importlib.resources.abc import Traversable
from pathlib import Path

SOURCE = Path(__file__).with_name("scanner.c")
SUFFIXES = (".c", ".h")
# See mallopt(3).
M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES = -3, 2**18
# The number of cores that this process may use.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
COMPILERS = ("cc", "gcc", "clang")

# What the headers of scanner.c name: return codes, formats, reductions, totals, kinds of columns and
# their flags.
DONE, ODD_LINES_FULL, TOO_LARGE, TOO_MANY, NO_MEMORY, NEW_TEXTS = range(6)
CSV, JSON = range(2)
SUM, DISTINCT, COUNT, MEAN, TOTALS = range(5)
OF_ROWS, OF_VALUES, ADDED, LEAST, LARGEST, SQUARED, NEWEST = range(7)
INTEGER, DECIMAL, TEXT, CHOICE, POSTAL_CODE, ID, DATE, CLOCK, MONTH_FIRST = range(9)
WHOLE, BOOLEAN, ISO_TIME, WRITTEN_TIME, UNIX_TIME = range(9, 14)
FOR_CHECK, FOR_COLUMN, FOR_FILTER, FOR_CONDITION = range(4)
OPTIONAL, NEEDED, KEPT, MISSING, SCIENTIFIC, DAYS, BARE = (1 << bit for bit in range(7))
# Of a layout: what its pieces are, and the parts of a time that are one digit or two.
LITERAL, YEAR, SHORT_YEAR, PART, FIXED_PART, MONTH_NAME, LONG_MONTH_NAME, HALF, FRACTION, OFFSET = range(10)
MONTH, DAY, HOUR, MINUTE, SECOND = range(5)
MOST_PIECES, MOST_WORDS, LONGEST_WORD = 64, 32, 32
# The bytes that they may read beyond the end of a text.
PADDING = 256


_FUNCTIONS = {
    "scanner_new": (c_void_p, [c_int, c_int, c_void_p, c_int, c_int, c_void_p, c_int64, c_int64, c_int64]),
    "scanner_free": (None, [c_void_p]),
    "scanner_branch": (c_int, [c_void_p, c_int, c_char_p, c_int64]),
    "scanner_key": (c_int, [c_void_p, c_int, c_int, c_int]),
    "scanner_dialect": (
        c_int,
        [c_void_p, c_int, c_int, c_int, c_char_p, c_int64, c_uint64, c_char_p, c_int64, c_char_p, c_int64],
    ),
    "scanner_fallback": (c_int, [c_void_p, c_int, c_int64]),
    "scanner_zone": (c_int, [c_void_p, c_int, c_int, c_void_p]),
    "scanner_layout": (c_int, [c_void_p, c_int, c_int, c_char_p]),
    "scanner_word": (c_int, [c_void_p, c_int, c_char_p, c_int, c_int]),
    "scanner_time": (c_int, [c_void_p, c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_int64, c_int, c_int]),
    "scanner_days": (c_int, [c_void_p, c_int, c_int64, c_void_p]),
    "scanner_check": (c_int, [c_void_p, c_int, c_int, c_int64, c_int64, c_int64]),
    "scanner_place": (None, [c_void_p, c_int, c_int]),
    "scanner_cell": (c_int, [c_void_p, c_int, c_int, c_int64]),
    "scanner_bucket": (c_int, [c_void_p, c_int]),
    "scanner_program": (c_int, [c_void_p, c_int, c_int, c_void_p, c_int64, c_int64, c_int64]),
    "scanner_lookup": (c_int, [c_void_p, c_int, c_int, c_int64, c_void_p, c_void_p]),
    "scanner_reduce": (
        c_int,
        [c_void_p, c_int, c_int, c_int, c_void_p, c_int, c_void_p, c_int, c_void_p, c_int, c_int64],
    ),
    "scanner_intern": (c_int64, [c_void_p, c_int, c_char_p, c_int64]),
    "scanner_scan": (c_int, [c_void_p, c_void_p, c_int64, c_void_p]),
    "scanner_add": (c_int, [c_void_p, c_void_p, c_uint64, c_uint64, c_uint64, c_int64]),
    "scanner_add_rows": (c_int, [c_void_p, c_int64, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "scanner_add_pairs": (c_int, [c_void_p, c_int, c_void_p, c_void_p, c_int64, c_uint32, c_uint32]),
    "scanner_lines": (c_int64, [c_void_p]),
    "scanner_lacks_day": (c_int, [c_void_p]),
    "scanner_odd": (c_int, [c_void_p]),
    # Three numbers for each line: its own, its offset in the text, and its length without the line feed.
    "scanner_odd_lines": (POINTER(c_int64), [c_void_p]),
    "scanner_groups": (c_int64, [c_void_p, c_int]),
    "scanner_entry_width": (c_int, [c_void_p, c_int]),
    "scanner_entries": (POINTER(c_int64), [c_void_p, c_int]),
    "scanner_sort": (c_int, [c_void_p, c_int, c_void_p, c_void_p]),
    "scanner_pairs": (None, [c_void_p, c_int, c_void_p, c_void_p]),
    "scanner_texts": (c_int64, [c_void_p, c_int]),
    "scanner_text_ends": (POINTER(c_int64), [c_void_p, c_int]),
    "scanner_text_bytes": (c_void_p, [c_void_p, c_int]),
    "divide": (c_int, [c_void_p, c_void_p, c_int64, c_uint64, c_void_p, c_void_p]),
    "write_ids": (None, [c_void_p, c_int64, c_void_p]),
    "scanner_kept": (c_int64, [c_void_p]),
    "scanner_kept_intervals": (POINTER(c_uint32), [c_void_p]),
    "scanner_kept_values": (c_void_p, [c_void_p, c_int]),
    "scanner_kept_nulls": (POINTER(c_uint8), [c_void_p, c_int]),
    "count_distinct": (c_int, [c_int, c_void_p, c_void_p, c_int64, c_void_p]),
}


def library_path() -> Path:
    """Return the path of the library of this source once it is built."""
    return SOURCE.with_name(_library_name(sources_in(SOURCE.parent)))


def sources_in(package: Path | Traversable) -> list[Path | Traversable]:
    """Return the scanner's source files in the package, by name."""
    return sorted((file for file in package.iterdir() if _is_source(file.name)), key=lambda file: file.name)


def _is_source(name: str) -> bool:
    return name.startswith("scanner") and name.endswith(SUFFIXES)


def _library_name(sources: Iterable[Path | Traversable]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return f"scanner-{digest.hexdigest()[:12]}.so"


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the library, or None if it was not built or is for another machine. Its functions run without the GIL."""
    try:
        loaded = ctypes.CDLL(str(library_path())) if SOURCE.exists() else _packed_library()
    except OSError:
        return None
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def _packed_library() -> ctypes.CDLL:
    """Return the library in the zip from which an executor runs; raises OSError."""
    from importlib import resources

    package = resources.files(__package__)
    name = _library_name(sources_in(package))
    with resources.as_file(package / name) as unpacked:
        return ctypes.CDLL(str(unpacked))


def tune_malloc() -> None:
    """Make malloc return large blocks to the system when they are freed, where the C library can (glibc).

    By default it keeps them for the thread that had them, which for a run's many threads adds half of its memory.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def build() -> Path:
    """Build the library, and remove those of other versions; raises RuntimeError if it cannot be built."""
    compiler = shlex.split(os.environ.get("CC", "")) or [name for name in COMPILERS if shutil.which(name)][:1]
    if not compiler:
        raise RuntimeError("there is no C compiler")
    path = library_path()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".scanner-") as folder:
        built = Path(folder) / path.name
        command = [*compiler, "-O3", "-std=gnu11", "-shared", "-fPIC", "-o", str(built), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)} failed: {done.stderr.strip()}")
        for old in path.parent.glob("scanner-*.so"):
            old.unlink()
        built.rename(path)
    return path


if __name__ == "__main__":
    try:
        build()
    except (RuntimeError, OSError) as error:
        sys.exit(f"The compiled scanner could not be built: {error}")
