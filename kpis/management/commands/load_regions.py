"""``manage.py load_regions``: load the map's regions from a GeoJSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from kpis.management.output import WorkCommand
from kpis.reference.regions import RegionError, put_regions, read_shapes


class Command(WorkCommand):
    help = (
        "Replaces the map's regions with those of a GeoJSON file (a FeatureCollection of polygons, in degrees). If "
        "something is wrong it is named, and nothing is loaded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="the GeoJSON file")
        parser.add_argument(
            "--name-property",
            action="append",
            metavar="PROPERTY",
            help="the property with a region's name as the records have it (default: name); given again, properties "
            "with further spellings",
        )
        parser.add_argument(
            "--code-property", default="", metavar="PROPERTY", help="the property with its code (default: its id)"
        )

    def handle(
        self, *, file: Path, name_property: list[str] | None, code_property: str, verbosity: int, **options: Any
    ) -> None:
        try:
            shapes = read_shapes(file, name_property or ["name"], code_property)
        except RegionError as error:
            raise CommandError(str(error)) from error
        loaded = put_regions(shapes)
        if verbosity > 1:
            for shape in shapes:
                self.stdout.write(", ".join([f"{shape.code}: {shape.name}", *shape.spellings]))
        if verbosity:
            self.stdout.write(
                f"{loaded.added:,} added, {loaded.changed:,} changed, {loaded.unchanged:,} unchanged, "
                f"{loaded.removed:,} removed"
            )
