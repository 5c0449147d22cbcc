"""The compiled scanner that tests run, which has to be that of the sources."""

from __future__ import annotations

import shutil

import pytest

from kpis.engine import compiled

BUILD = "run `make setup`, or `.venv/bin/python -m kpis.engine.compiled`"


def check_is_built() -> None:
    """Raises UsageError if the scanner of these sources is not built, as after a change of them, but could be."""
    path = compiled.library_path()
    others = sorted(other.name for other in path.parent.glob("scanner-*.so") if other != path)
    if not path.exists() and (others or any(map(shutil.which, compiled.COMPILERS))):
        instead = f" ({' and '.join(others)} is of other sources)" if others else ""
        raise pytest.UsageError(f"The compiled scanner {path} is not built{instead}: {BUILD}.")
