"""CSV exports that a spreadsheet opens safely, written while the rows are read."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

from django.http import StreamingHttpResponse

MEDIA_TYPE, CHARSET = "text/csv", "utf-8"

# A spreadsheet takes text that starts with one of these for a formula and runs it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")

_ROWS_A_CHUNK = 1000


def one_text(value: object) -> object:
    """Join a list into one text, separated by spaces; return any other value as it is."""
    return " ".join(str(part) for part in value) if isinstance(value, list | tuple) else value


def cell(value: object) -> object:
    """Return a value as a CSV cell; text that a spreadsheet would run gets an apostrophe in front.

    Moments are in UTC.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value.replace(tzinfo=None).isoformat()}Z"
    value = one_text(value)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def _as_it_is(value: object) -> object:
    return value


def csv_chunks(
    header: Sequence[str], rows: Iterable[Iterable], computed: Collection[str] = frozenset()
) -> Iterator[str]:
    """Yield CSV text of rows, a header line first, in pieces of bounded size.

    ``computed`` are the columns whose texts are computed here, such as ``-34.60,-58.40``: they are written unchanged.
    """
    cells = [_as_it_is if name in computed else cell for name in header]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    for number, row in enumerate(rows, start=1):
        writer.writerow([cell(value) for cell, value in zip(cells, row, strict=True)])
        if number % _ROWS_A_CHUNK == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def csv_response(
    name: str, header: Sequence[str], rows: Iterable[Iterable], computed: Collection[str] = frozenset()
) -> StreamingHttpResponse:
    """Return a download of rows as ``<name>.csv``, written while they are read; for ``computed`` see csv_chunks."""
    return StreamingHttpResponse(
        csv_chunks(header, rows, computed),
        content_type=f"{MEDIA_TYPE}; charset={CHARSET}",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )
