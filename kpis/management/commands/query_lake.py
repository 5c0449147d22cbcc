"""``manage.py query_lake``: run SQL over the lake, and print the answer or write it to a file."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable
from datetime import time
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO, cast

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from kpis.lake import LakeError
from kpis.lake.views import Answer, QueryError, answered, view_names, write_parquet
from kpis.management.output import WRONG_USE, AnswerCommand
from kpis.store.binding import check, lake_storage
from kpis.store.ledger_tables import DatabaseLedgerTables

ROWS_A_PAGE = 1000


class Command(AnswerCommand):
    help = (
        "Answers one SELECT over the lake, in DuckDB's SQL. Views: one for each feed (its archived records), one for "
        "each KPI (the figures of all groups in its feed's shortest intervals), one for each KPI's partials (for "
        "exact figures of longer spans), rejects and batches. Conditions on year, month, day, hour or hour_start read "
        "only those folders. The answer may be about single subscribers, regardless of the web's permissions: this is "
        "for operators with a shell."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("query", metavar="SELECT", help=f"the query; the views are {', '.join(view_names())}")
        parser.add_argument(
            "--format", choices=[*WRITERS, "parquet"], default="table", help="the answer's format (default: table)"
        )
        parser.add_argument(
            "--out", type=Path, metavar="FILE", help="the file to write the answer to; required for Parquet"
        )

    def handle(self, *, query: str, out: Path | None, **options: Any) -> None:
        lake = settings.LAKE_DIR, DatabaseLedgerTables(), settings.MEMORY_LIMIT_MB
        try:
            check(lake_storage())
            if options["format"] == "parquet":
                if out is None:
                    raise CommandError("--format parquet needs --out FILE.", returncode=WRONG_USE)
                write_parquet(query, out, *lake)
                return
            write = WRITERS[options["format"]]
            with answered(query, *lake, as_text=True) as answer:
                if out is None:
                    write(answer, cast(TextIO, self.stdout))
                else:
                    _write_whole(answer, write, out)
        except (QueryError, LakeError) as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"The ledger cannot be read: {' '.join(str(error).split())}.") from error
        except OSError as error:
            raise CommandError(f"{error.filename or out} cannot be written: {error.strerror}.") from error


def _write_whole(answer: Answer, write: Callable[[Answer, TextIO], None], out: Path) -> None:
    """Write a file that appears under its name only once it is complete."""
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            write(answer, file)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)


def write_table(answer: Answer, out: TextIO) -> None:
    """Write an aligned text table. Each page of rows is as wide as its values and those of earlier pages need."""
    if answer.names == ["explain_key", "explain_value"]:
        for _, text in answer.rows:
            out.write(f"{text}\n")
        return
    to_the_right = [_is_number(type_) for type_ in answer.types]
    widths = [len(name) for name in answer.names]
    count = 0
    heading = [answer.names]
    while page := [[_cell(value) for value in row] for row in islice(answer.rows, ROWS_A_PAGE)]:
        widths = [max(width, *map(len, cells)) for width, cells in zip(widths, zip(*page, strict=True), strict=True)]
        _write_lines([*heading, *page], widths, to_the_right, out)
        heading = []
        count += len(page)
    _write_lines(heading, widths, to_the_right, out)
    out.write(f"({count:,} {'row' if count == 1 else 'rows'})\n")


def write_csv(answer: Answer, out: TextIO) -> None:
    """Write CSV as in RFC 4180, with a header; NULL is an empty field."""
    writer = csv.writer(out)
    first = list(islice(answer.rows, 1))
    writer.writerow(answer.names)
    writer.writerows([_text(value) for value in row] for row in chain(first, answer.rows))


def write_json(answer: Answer, out: TextIO) -> None:
    """Write a JSON array with one object per line. A column whose name repeats is called ``name_1``, and so on."""
    names = _unique(answer.names)
    # Before anything is written, so that a query that fails at once leaves no half of an array.
    first = list(islice(answer.rows, 1))
    out.write("[\n")
    former = ""
    try:
        for row in chain(first, answer.rows):
            if former:
                out.write(f"{former},\n")
            former = json.dumps(
                {name: _plain(value) for name, value in zip(names, row, strict=True)},
                ensure_ascii=False,
                allow_nan=False,
            )
    finally:
        # Also if the query fails halfway, which the command's error and exit status report.
        if former:
            out.write(f"{former}\n")
        out.write("]\n")


WRITERS = {"table": write_table, "csv": write_csv, "json": write_json}


def _write_lines(rows: list[list[str]], widths: list[int], to_the_right: list[bool], out: TextIO) -> None:
    for row in rows:
        cells = zip(row, widths, to_the_right, strict=True)
        line = "  ".join(text.rjust(width) if right else text.ljust(width) for text, width, right in cells)
        out.write(line.rstrip() + "\n")


def _is_number(type_: str) -> bool:
    return type_.endswith("INT") or type_.startswith("DECIMAL") or type_ in ("INTEGER", "UINTEGER", "FLOAT", "DOUBLE")


def _unique(names: list[str]) -> list[str]:
    unique: list[str] = []
    for name in names:
        number, free = 0, name
        while free in unique:
            number += 1
            free = f"{name}_{number}"
        unique.append(free)
    return unique


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: decimals as numbers, bytes in hex; a number that is not finite is null."""
    match value:
        case time():
            return value.isoformat()
        case Decimal():
            return float(value)
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case list() | tuple():
            return [_plain(one) for one in value]
        case dict():
            return {str(key): _plain(one) for key, one in value.items()}
        case bytes():
            return value.hex()
    return str(value)


def _text(value: Any) -> str:
    """Return a value as a CSV field."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Decimal() | float():
            return str(value)
        case list() | tuple() | dict():
            return json.dumps(_plain(value), ensure_ascii=False)
    return str(_plain(value))


def _cell(value: Any) -> str:
    """Return a value as text for a terminal, with control characters escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in _text(value))
