"""``manage.py export_catalog``: the catalog for other tools."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import connection

from kpis.contracts.selection import Selection, UnknownName, select
from kpis.contracts.servers import Server, api_server, database_server, lake_server
from kpis.management.output import WRONG_USE, AnswerCommand, reason_of
from kpis.models.result_models import result_model
from kpis.store.errors import StoreError, translate_errors

# The name of a document about all that is exported.
NAME = "network-analysis"


class Command(AnswerCommand):
    help = (
        "Describes feeds and KPIs, built in and declared, for other tools: as a data contract (odcs), as JSON Schema "
        "of records and of the API's rows (json-schema), as Arrow schemas of the lake's tables and of results (arrow), "
        "or as metrics with the newest values of KPIs that are not personal (openmetrics)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="feeds and KPIs, by name (default: all)")
        parser.add_argument("--as", required=True, dest="format", choices=sorted(FORMATS), help="the format")
        parser.add_argument(
            "--output",
            type=Path,
            metavar="FOLDER",
            help="the folder to write to, created if it is missing: with json-schema a file for each feed and KPI, "
            "with arrow, which needs it, one for each table (default: standard output)",
        )
        parser.add_argument("--api", default="", metavar="URL", help="with odcs: where the API is reached")

    def handle(self, *, names: Sequence[str], format: str, output: Path | None, api: str, **options: Any) -> None:
        try:
            selection = select(names)
        except UnknownName as error:
            raise CommandError(f"{error}", returncode=WRONG_USE) from None
        if api and format != "odcs":
            raise CommandError("--api is for odcs.", returncode=WRONG_USE)
        if output is None and format == "arrow":
            raise CommandError("arrow needs --output FOLDER: a file for each table.", returncode=WRONG_USE)
        files = FORMATS[format](selection, output is not None, api)
        if output is None:
            for content in files.values():
                self.stdout.write(content.decode(), ending="")
        else:
            _write(output, files)


def _odcs(selection: Selection, is_apart: bool, api: str) -> Mapping[str, bytes]:
    from kpis.contracts import odcs

    tables = {kpi.id: result_model(kpi)._meta.db_table for kpi in selection.kpis}
    return {f"{NAME}.odcs.yaml": odcs.document(selection, _servers(api), tables).encode()}


def _json_schema(selection: Selection, is_apart: bool, api: str) -> Mapping[str, bytes]:
    from kpis.contracts import json_schema

    found = json_schema.documents(selection) if is_apart else {NAME: json_schema.bundle(selection)}
    return {
        f"{name}.schema.json": (json.dumps(schema, indent=2, ensure_ascii=False) + "\n").encode()
        for name, schema in found.items()
    }


def _arrow(selection: Selection, is_apart: bool, api: str) -> Mapping[str, bytes]:
    from kpis.contracts import arrow

    try:
        return {f"{name}.arrow": content for name, content in arrow.documents(selection).items()}
    except arrow.MissingExtra as error:
        raise CommandError(f"{error}") from error


def _openmetrics(selection: Selection, is_apart: bool, api: str) -> Mapping[str, bytes]:
    from kpis.contracts import openmetrics
    from kpis.query.newest import newest_groups

    try:
        with translate_errors():
            return {f"{NAME}.openmetrics.txt": openmetrics.document(selection.kpis, newest_groups)}
    except StoreError as error:
        raise CommandError(f"{error}") from error


FORMATS: dict[str, Callable[[Selection, bool, str], Mapping[str, bytes]]] = {
    "odcs": _odcs,
    "json-schema": _json_schema,
    "arrow": _arrow,
    "openmetrics": _openmetrics,
}


def _servers(api: str) -> list[Server]:
    database = connection.settings_dict
    servers = [
        database_server(connection.vendor, f"{database['NAME']}", database["HOST"], database["PORT"]),
        lake_server(settings.LAKE_DIR, os.environ.get("AWS_ENDPOINT_URL", "")),
    ]
    return [*servers, api_server(api)] if api else servers


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder; raises CommandError."""
    path = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / name
            path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {reason_of(error)}.") from error
