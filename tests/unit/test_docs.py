"""The documentation is whole: its links lead somewhere, its generated pages are what the code says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from django.conf import settings

from scripts import reference_pages

DOCS = settings.BASE_DIR / "docs"
README = settings.BASE_DIR / "README.md"


def test_the_readme_is_short_and_names_the_commands_and_the_licence():
    text = README.read_text()
    assert len(text.splitlines()) <= 120
    assert [word for word in ("make run", "make serve", "make test", "make docs", "MIT") if word not in text] == []


@pytest.mark.parametrize("page", sorted([README, *settings.BASE_DIR.glob("*/README.md")]), ids=str)
def test_links_of_pages_outside_the_site_lead_to_files(page):
    # Links inside the site are checked when it is built.
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_generated_pages_are_what_the_code_says():
    # `make reference` writes them.
    generated = reference_pages.pages()
    found = {path.name: path.read_text() for path in (DOCS / "reference").glob("*.md")}
    assert {name: found.get(name) for name in generated} == generated
    assert {name for name, text in found.items() if text.startswith("<!-- Written by")} == set(generated)


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ({"index.md": "# Index\n\n[Nowhere](nowhere.md)\n"}, "nowhere.md"),
        (
            {"index.md": "# Index\n\n[There](there.md#nowhere)\n", "there.md": "---\norphan: true\n---\n# There\n"},
            "nowhere",
        ),
        ({"index.md": "# Index\n", "there.md": "# There\n"}, "there.md"),
    ],
    ids=["link", "heading", "contents"],
)
def test_a_broken_link_or_a_page_in_no_table_of_contents_fails_the_build(pages, message, tmp_path):
    shutil.copy(DOCS / "conf.py", tmp_path / "conf.py")
    for name, text in pages.items():
        (tmp_path / name).write_text(text)
    (command,) = re.findall(
        r"sphinx-build (.*) docs var/docs$", (settings.BASE_DIR / "Makefile").read_text(), re.MULTILINE
    )
    words = [word.replace("var/", f"{tmp_path}/out/") for word in command.split()]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words, tmp_path, tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
