"""The documentation is whole: its links lead somewhere, its generated pages are what the code says."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class

from kpis.health.metrics import LedgerCollector
from network_analysis import logs
from scripts import reference_pages

DOCS = settings.BASE_DIR / "docs"
README = settings.BASE_DIR / "README.md"
# Links inside the site are checked when it is built.
OUTSIDE = sorted([*settings.BASE_DIR.glob("*.md"), settings.BASE_DIR / "benchmarks" / "README.md"])


def test_the_readme_is_short_and_names_the_commands_and_the_licence():
    text = README.read_text()
    assert len(text.splitlines()) <= 120
    assert [word for word in ("make run", "make serve", "make test", "make docs", "MIT") if word not in text] == []


def test_the_newest_release_notes_are_of_the_packages_version():
    version = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
    releases = re.findall(r"^## (\S+)", (settings.BASE_DIR / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert next(release for release in releases if release != "Unreleased") == version


def test_the_start_page_links_to_every_page():
    # The tables of contents are for the site; the links beside them are for readers of the repository too.
    text = (DOCS / "index.md").read_text()
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.glob("*/*.md")}
    assert set(re.findall(r"^- \[.*?\]\((.*?)\.md\): ", text, re.MULTILINE)) == pages


@pytest.mark.parametrize("page", OUTSIDE, ids=lambda page: str(page.relative_to(settings.BASE_DIR)))
def test_links_of_pages_outside_the_site_lead_to_files(page):
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


def commands(text: str) -> Iterator[list[str]]:
    """The words after ``manage.py`` of each command in a page's shell blocks."""
    for block in re.findall(r"^```(?:sh|console).*?\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            before, _, rest = line.partition("manage.py ")
            if rest and not before.startswith("#"):
                shell = shlex.shlex(rest, posix=True, punctuation_chars="|>;&")
                shell.whitespace_split = True
                words = list(shell)
                ends = [number for number, word in enumerate(words) if set(word) <= set("|>;&")]
                yield words[: min(ends, default=len(words))]


PAGES = sorted([*OUTSIDE, *DOCS.rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(settings.BASE_DIR)))
def test_the_commands_of_every_page_take_the_arguments_that_it_gives(page):
    for name, *arguments in commands(page.read_text()):
        command = load_command_class(get_commands()[name], name)
        # Ends the test with status 2 where it does not know one.
        command.create_parser("manage.py", name).parse_args(arguments)


def test_every_log_event_is_in_the_reference():
    tree = ast.parse(Path(find_spec(logs.EVENTS).origin).read_text())
    calls = [call for call in ast.walk(tree) if isinstance(call, ast.Call) and ast.unparse(call.func) in LOGGED]
    events = [call.args[ast.unparse(call.func) == "logger.log"] for call in calls]
    patterns = {pattern for event in events for pattern in _patterns(event)}
    assert {re.escape("run started"), re.escape("lock busy"), re.escape("run ended")} < patterns
    text = (DOCS / "reference" / "log-events.md").read_text()
    assert {pattern for pattern in patterns if not re.search(rf"`{pattern}`", text)} == set()


LOGGED = ("logger.log", "logger.info", "logger.warning", "logger.error")


def _patterns(event: ast.expr) -> Iterator[str]:
    """A regular expression for each text that an event's name may be."""
    match event:
        case ast.Constant(value):
            yield re.escape(value)
        case ast.JoinedStr(parts):
            yield "".join(re.escape(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in parts)
        case ast.IfExp(body=one, orelse=other):
            yield from (*_patterns(one), *_patterns(other))


@pytest.mark.django_db
def test_every_metric_is_in_the_reference():
    text = (DOCS / "reference" / "metrics.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == {one.name for one in LedgerCollector().collect()}
