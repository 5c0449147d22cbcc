"""``manage.py catalog_schema``: the JSON Schema of catalog files."""

from __future__ import annotations

import json
from typing import Any

from kpis.catalog.file.entries import json_schema
from kpis.management.output import AnswerCommand


class Command(AnswerCommand):
    help = (
        "Prints the JSON Schema of catalog files, by which an editor completes and checks their keys: a first line "
        "#:schema FILE in the catalog file names it to editors that use Taplo."
    )

    def handle(self, **options: Any) -> None:
        self.stdout.write(json.dumps(json_schema(), indent=2))
