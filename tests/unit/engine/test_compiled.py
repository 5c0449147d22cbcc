"""The compiled scanner is built under the name of its source, in place of those of other versions."""

from __future__ import annotations

import ctypes
import hashlib
import shutil

import pytest

from kpis.engine import compiled
from tests.scanner import check_is_built

SOURCE = b"int answer(void) { return 42; }\n"
NAME = f"scanner-{hashlib.sha256(SOURCE).hexdigest()[:12]}.so"

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, compiled.COMPILERS)), reason="there is no C compiler")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A package whose scanner is one function, with the library of another version."""
    (tmp_path / "scanner.c").write_bytes(SOURCE)
    (tmp_path / "scanner-0123456789ab.so").write_bytes(b"old")
    monkeypatch.setattr(compiled, "SOURCE", tmp_path / "scanner.c")
    monkeypatch.delenv("CC", raising=False)
    return tmp_path


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@needs_compiler
def test_the_library_is_named_by_its_source_and_replaces_those_of_other_versions(folder):
    assert compiled.build() == compiled.library_path() == folder / NAME
    assert names(folder) == sorted(["scanner.c", NAME])
    assert ctypes.CDLL(str(folder / NAME)).answer() == 42


@needs_compiler
def test_a_source_that_does_not_compile_leaves_everything_as_it_was(folder):
    (folder / "scanner.c").write_text("no C")
    with pytest.raises(RuntimeError, match=r"^\w+ -O3 -std=gnu11 -shared -fPIC -o \S+ \S+/scanner\.c failed: .*error"):
        compiled.build()
    assert names(folder) == ["scanner-0123456789ab.so", "scanner.c"]


def test_the_compiler_of_the_environment_is_used(folder, monkeypatch):
    monkeypatch.setenv("CC", "sh -c 'echo $0 is no compiler >&2; exit 1' this")
    with pytest.raises(RuntimeError, match=r"failed: this is no compiler$"):
        compiled.build()


def test_without_a_compiler_nothing_is_built(folder, monkeypatch):
    monkeypatch.setattr(compiled, "COMPILERS", ("no-such-compiler",))
    with pytest.raises(RuntimeError, match=r"^there is no C compiler$"):
        compiled.build()
    assert names(folder) == ["scanner-0123456789ab.so", "scanner.c"]


def test_a_library_that_was_not_built_is_none(folder):
    compiled.library.cache_clear()
    try:
        assert compiled.library() is None
    finally:
        compiled.library.cache_clear()


def test_tests_do_not_begin_with_a_scanner_of_other_sources(folder, monkeypatch):
    monkeypatch.setattr(compiled, "COMPILERS", ())
    with pytest.raises(pytest.UsageError) as raised:
        check_is_built()
    assert str(raised.value) == (
        f"The compiled scanner {folder / NAME} is not built (scanner-0123456789ab.so is of other sources): "
        "run `make setup`, or `.venv/bin/python -m kpis.engine.compiled`."
    )
    (folder / NAME).touch()
    check_is_built()


def test_tests_begin_without_a_scanner_where_there_is_no_compiler(folder, monkeypatch):
    (folder / "scanner-0123456789ab.so").unlink()
    monkeypatch.setattr(compiled, "COMPILERS", ("no-such-compiler",))
    check_is_built()
