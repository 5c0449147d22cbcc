"""The lock file: every list that `make` installs is in it, exact and hashed, and names no registry."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from kpis import extras
from scripts import requirement_lists

ROOT = Path(settings.BASE_DIR)
LOCK = (ROOT / "requirements.lock").read_text()
LISTS = ["base", *extras.EXTRAS, "dev", "bench"]


@pytest.mark.parametrize("name", LISTS)
def test_every_requirement_is_locked_with_its_hashes(name):
    first, file = next(
        (first, file)
        for first, file in requirement_lists.LISTS.items()
        if name in requirement_lists.sections((ROOT / file).read_text(), first)
    )
    listed = requirement_lists.sections((ROOT / file).read_text(), first)[name]
    locked = requirement_lists.locked([name])
    assert re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==\S+", locked, re.MULTILINE)
    assert {requirement_lists.package(one) for one in listed} == {
        requirement_lists.package(one) for one in re.findall(r"^[\w.-]+", locked, re.MULTILINE)
    }
    for block in re.split(r"^(?=\w)", locked, flags=re.MULTILINE)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}$", block, re.MULTILINE), block


def test_an_extra_of_a_package_is_kept():
    assert re.match(r"psycopg\[binary\]==3\.\d+\.\d+ \\\n    --hash=sha256:", requirement_lists.locked(["postgres"]))


def test_the_extras_of_the_code_are_those_of_the_lists():
    listed = requirement_lists.sections((ROOT / "requirements.txt").read_text(), "base")
    listed |= requirement_lists.sections((ROOT / "requirements-spark.txt").read_text(), "spark")
    for extra, modules in extras.EXTRAS.items():
        assert {requirement_lists.package(one) for one in listed.pop(extra)} == set(modules.values())
    assert list(listed) == ["base"]


def test_the_lock_file_names_no_address():
    assert re.findall(r"\w+://\S+", LOCK) == []


def test_an_unknown_list_is_refused():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "requirement_lists.py", "kafak"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr == "requirements.lock has no 'kafak': see requirements*.txt, or run make lock.\n"
