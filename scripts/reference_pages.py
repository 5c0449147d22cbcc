"""Write the reference pages that are generated from the code: settings, commands, feeds, KPIs; for `make reference`.

`python -m scripts.reference_pages FOLDER` writes them into a folder.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import django
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandParser

from kpis.catalog import columns
from kpis.catalog.feeds import Feed
from kpis.catalog.file_names import PACKED_ENDINGS
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import FEEDS, KPIS, kpis_of
from kpis.catalog.result_columns import Fraction, Label, ResultColumn, WholeNumber
from network_analysis import options
from network_analysis.environment import Group, Variable
from scripts.catalog_page import catalog_page
from scripts.columns_page import columns_page
from scripts.formats_page import formats_page
from scripts.markdown import table
from tests import doors

GENERATED = "<!-- Written by `make reference`, from {source}. -->"

COMMANDS_INTRO = """
`.venv/bin/python manage.py COMMAND` runs a command; `--help` prints its options. All commands also have Django's
options, among them `-v 0` (print nothing), `-v 2` (print more) and `--traceback`.

## Exit status

| status | meaning |
| --- | --- |
| 0 | the command did what it was asked, or another run is at work |
| 1 | something failed; its name and the reason are on standard error |
| 2 | wrong use |

Output that cannot be written (a full disk, a closed pipe, an encoding that lacks a letter) is reported once on standard
error. It stops nothing and changes no exit status, of any command that works on the database.
"""

FEEDS_INTRO = """
[Files, records and rejects](files.md) has the rules that all feeds share. A value outside its column's range makes the
row a reject; a number that stands for an unknown value is read as an empty field. *Empty* says whether a field may be
empty; *missing* that a file may lack the column.
"""

SOURCES_INTRO = """
Which feeds come from which source, by which engine. Whatever they come by, the same records give the same tables,
rejects and files of the lake: a test takes them through every cell, also through those that are refused.
"""

SOURCES_RULES = """
- A folder's and a bucket's files are ingested by `update_network_stats`, a stream's messages by `consume_stream`, each
  with `--engine local` or `spark`.
- [What a message is](../how-to/streams.md#what-a-message-is) has the rules for rows and days of messages.
- Spark reads Kafka, and no Kinesis: [Consume streams](../how-to/streams.md#with-spark) has the reason.
"""

SETTINGS_INTRO = """
Settings are environment variables, or lines of `.env` beside `manage.py` (of the working folder, if the package is
installed). A variable that is empty or unset has its default. A wrong value stops the program with one line.
"""

KPIS_INTRO = """
[Intervals and summaries](intervals.md) has when an interval closes, and what its summary contains. Each row also has
`interval_start_timestamp`, `interval_end_timestamp`, `interval` and `rank`.
"""

# A feed's columns, in words.
TYPES: dict[type[columns.ColumnType], Callable] = {
    columns.Integer: lambda one: f"{one.bits}-bit integer",
    columns.Decimal: lambda one: "decimal, 6 places",
    columns.Text: lambda one: f"text, at most {one.longest} characters",
    columns.PostalCode: lambda one: f"postal code, at most {one.longest} characters",
    columns.Choice: lambda one: f"one of {', '.join(one.words)}",
    columns.UUID: lambda one: "UUID",
    columns.Date: lambda one: "date, `2017-03-01`",
    columns.TimeOfDay: lambda one: "time of day, `23:59:59`",
    columns.MonthFirst: lambda one: "date and time, `Apr 30 2018 00:00:00`",
    columns.Boolean: lambda one: "true or false",
    columns.ISOTimestamp: lambda one: f"time, `{one.example}`",
    columns.FormattedTimestamp: lambda one: f"time, `{one.example}`",
    columns.UnixTimestamp: lambda one: "Unix time",
}
# A result's columns, in words.
RESULT_TYPES: dict[type, Callable] = {
    WholeNumber: lambda one: f"{one.bits}-bit integer",
    Fraction: lambda one: "decimal",
    Label: lambda one: "text",
}


class Recorder(CommandParser):
    """A parser that remembers the arguments of a command, in order."""

    def __init__(self) -> None:
        self.actions: list[argparse.Action] = []
        super().__init__(add_help=False)

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        self.actions.append(super().add_argument(*args, **kwargs))
        return self.actions[-1]


def commands_page() -> str:
    """Return the page of commands: what each does, and its arguments."""
    names = sorted(name for name, app in get_commands().items() if app == "kpis")
    return "\n\n".join(["# Commands", COMMANDS_INTRO.strip(), *(_command(name) for name in names)])


def _command(name: str) -> str:
    command = load_command_class("kpis", name)
    parser = Recorder()
    # Only a command's own arguments, without those that Django gives to every command, or to the one that it
    # replaces.
    if "add_arguments" in vars(type(command)):
        command.add_arguments(parser)
    said = [f"## {name}", " ".join(command.help.split())]
    if parser.actions:
        said.append(table(("argument", "meaning", "default"), map(_argument, parser.actions)))
    return "\n\n".join(said)


def _argument(action: argparse.Action) -> tuple[str, str, str]:
    names = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    if action.choices:
        names = "|".join(map(str, action.choices))
    shown = " ".join(filter(None, [", ".join(action.option_strings), *((names,) if isinstance(names, str) else names)]))
    is_needed = action.required if action.option_strings else action.nargs not in ("*", "?")
    default = "required" if is_needed else action.default if action.nargs != 0 else None
    meaning = (action.help or "") % {"default": action.default}
    # A default in the help text, which is worded for readers.
    found = re.search(r" \(default: ([^)]*)\)", meaning)
    if found:
        meaning, default = meaning.replace(found[0], ""), found[1]
    return f"`{shown}`", meaning, f"{default}" if default not in (None, "", []) else ""


def feeds_page() -> str:
    """Return the page of feeds: files, columns with types, ranges and unknown values, and checks."""
    return "\n\n".join(["# Feeds", FEEDS_INTRO.strip(), *(_feed(feed) for feed in FEEDS.values())])


def _feed(feed: Feed) -> str:
    kpis = ", ".join(f"[{kpi.name}](kpis.md#{kpi.id}-{kpi.name.lower()})" for kpi in kpis_of(feed))
    facts = [
        ("format", f"{feed.format}"),
        ("file names", _code(feed.file_names)),
        ("endings", f"{_code(feed.endings)}; compressed also {_code(PACKED_ENDINGS)} after that"),
        ("time of a record", f"`{feed.moment.column}`, UTC; later than 1970-01-01T00:00Z"),
        ("shortest interval", f"{feed.interval}"),
        ("KPIs", kpis),
    ]
    rows = (
        (
            f"`{column.name}`",
            TYPES[type(column.type)](column.type),
            ("yes" if column.required else "yes, missing too") if column.type.optional else "no",
            column.unit,
            column.type.accepted,
            column.source,
        )
        for column in feed.columns
    )
    said = [f"## {feed.name}", f"{feed.description}.", "\n".join(f"- {name}: {value}" for name, value in facts)]
    said.append(table(("column", "type", "empty", "unit", "range and unknown", "source of the range"), rows))
    said.append("A row is a reject if a column cannot be parsed" + ("." if not feed.checks else ", or if"))
    if feed.checks:
        said.append("\n".join(f"- `{check.column}` {check.reason}." for check in feed.checks))
    if feed.place:
        latitude, longitude = feed.place.columns
        said.append(f"A place at exactly 0,0 (`{latitude}`, `{longitude}`) is unknown.")
    return "\n\n".join(said)


def sources_page() -> str:
    """Return the page of sources: which feed comes from where, by which engine."""
    heading, *rows = doors.rows()
    return "\n\n".join(["# Feeds and sources", SOURCES_INTRO.strip(), table(heading, rows), SOURCES_RULES.strip()])


def kpis_page() -> str:
    """Return the page of KPIs: feed, groups, values and intervals, and the columns of the rows."""
    overview = table(
        ("id", "KPI", "feed", "per", "values", "intervals", "kept"),
        (
            (
                f"{kpi.id}",
                f"[{kpi.name}](#{kpi.id}-{kpi.name.lower()})",
                kpi.feed.name,
                _code(kpi.dimensions),
                _code(kpi.measure.values),
                ", ".join(f"{length}" for length in kpi.lengths),
                _kept(kpi),
            )
            for kpi in KPIS.values()
        ),
    )
    return "\n\n".join(["# KPIs", KPIS_INTRO.strip(), overview, *(_kpi(kpi) for kpi in KPIS.values())])


def _kept(kpi: KPI) -> str:
    return ("the first `TOP_N`" if kpi.top else "all groups") + ("; personal" if kpi.personal else "")


def _kpi(kpi: KPI) -> str:
    said = [f"## {kpi.id} {kpi.name}", f"{kpi.description}. Unit: {kpi.unit}."]
    if kpi.personal:
        said.append("It is about single subscribers: only accounts with `kpis.view_personal` may read it.")
    rows = ((f"`{one.name}`", *_result_column(kpi, one)) for one in kpi.result_columns)
    said.append(table(("column", "type", "from", "meaning"), rows))
    if kpi.notes:
        said.append(kpi.notes)
    return "\n\n".join(said)


def _result_column(kpi: KPI, column: ResultColumn) -> tuple[str, str, str]:
    dimension = {one.name: one for one in kpi.by}.get(column.name)
    sources = dimension.columns if dimension else _columns_measured(kpi)
    meaning = [column.help_text] if column.help_text else []
    if kpi.reference and (dimension or column.name in {one.name for one in kpi.reference.columns}):
        sources = (kpi.reference.table,)
    if dimension and dimension.folded:
        meaning.append("letter case and encoding make no difference")
    if column.name == kpi.value:
        meaning.append("groups rank by it, largest first")
    if column.optional and not isinstance(column.type, Label):
        meaning.append("null if there is no value")
    return RESULT_TYPES[type(column.type)](column.type), _code(sources), "; ".join(meaning)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _columns_measured(kpi: KPI) -> tuple[str, ...]:
    """Return the feed's columns that a KPI's values are computed from."""
    return (*kpi.source.measure.measured, *kpi.source.measure.partial_keys)


def settings_page() -> str:
    """Return the page of settings: default, unit, accepted values and meaning of each, by group."""
    groups = [*(group for group in vars(options).values() if isinstance(group, Group)), *options.PLUGIN_GROUPS]
    return "\n\n".join(["# Settings", SETTINGS_INTRO.strip(), *map(_settings, groups)])


def _settings(group: Group) -> str:
    rows = ((f"`{one.name}`", one.help, _default(one), one.accepts or "text") for one in group.variables)
    return f"## {group.title}\n\n{table(('name', 'meaning', 'default', 'values'), rows)}"


def _default(variable: Variable) -> str:
    shown = variable.default or "none"
    plain = shown == "none" or "`" in shown or "](" in shown
    return shown if plain else " ".join(filter(None, [f"`{shown}`", variable.unit]))


PAGES: dict[str, tuple[Callable[[], str], str]] = {
    "commands.md": (commands_page, "the commands' arguments"),
    "feeds.md": (feeds_page, "the catalog"),
    "formats.md": (formats_page, "the catalog"),
    "kpis.md": (kpis_page, "the catalog"),
    "settings.md": (settings_page, "network_analysis/options.py"),
    "sources.md": (sources_page, "tests/doors.py"),
    "columns.md": (columns_page, "kpis/catalog/columns"),
    "catalog.md": (catalog_page, "kpis/catalog/file/entries.py"),
}


def pages() -> dict[str, str]:
    """Return the generated pages, by file name."""
    return {name: f"{GENERATED.format(source=source)}\n\n{page()}\n" for name, (page, source) in PAGES.items()}


def write(folder: Path) -> None:
    """Write the pages into a folder."""
    for name, text in pages().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "network_analysis.settings")
    django.setup()
    write(Path(sys.argv[1]))
