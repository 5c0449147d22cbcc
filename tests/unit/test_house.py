"""The house's rules: which package may import which, and what runs without Django."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.contrib import admin
from django.core.management import call_command

from kpis import pipeline

WITHOUT_DJANGO = """
import sys

class Absent:
    names = {"django", "rest_framework", "django_filters", "drf_spectacular", "dotenv"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, capture_output=True, text=True, check=False
    )


def test_imports_point_one_way():
    result = python(
        "import sys; sys.path.append('plugins')\n"
        "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken." in result.stdout


def test_what_computes_runs_without_django():
    result = python(f"{WITHOUT_DJANGO}\nimport kpis.pipeline, kpis.sample")
    assert result.returncode == 0, result.stderr


def test_the_pipeline_has_every_name_that_it_offers():
    assert [name for name in pipeline.__all__ if not hasattr(pipeline, name)] == []


def test_django_is_really_out_of_reach_there():
    result = python(f"{WITHOUT_DJANGO}\nimport kpis.models")
    assert result.returncode == 1
    assert "No module named 'django'" in result.stderr


def test_django_finds_no_fault_with_any_admin():
    assert {model._meta.app_label for model in admin.site._registry} >= {"auth", "kpis"}
    call_command("check", "--tag=admin")


def test_each_ignored_type_error_has_its_code_and_a_reason():
    base = Path(settings.BASE_DIR)
    folders = (base / name for name in ("benchmarks", "kpis", "network_analysis", "plugins", "scripts"))
    # Not those of the peers' virtual environment.
    found = (file for folder in folders for file in folder.rglob("*.py") if ".venv" not in file.parts)
    files = [base / "hatch_build.py", *found]
    ignored = [line for file in files for line in file.read_text().splitlines() if "type: ignore" in line]
    assert ignored
    assert [line for line in ignored if not re.search(r"# type: ignore\[[a-z, -]+\]  # \w", line)] == []


def test_every_invariant_names_tests_that_exist():
    base = Path(settings.BASE_DIR)
    text = (base / "docs" / "explanation" / "invariants.md").read_text()
    invariants = re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]
    assert len(invariants) == 12
    tests = "\n".join(path.read_text() for path in sorted((base / "tests").rglob("test_*.py")))
    for invariant in invariants:
        named = re.findall(r"`(test_\w+)`", invariant)
        assert named, invariant
        assert [name for name in named if f"def {name}(" not in tests] == []
