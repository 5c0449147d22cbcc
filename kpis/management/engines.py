"""The option --engine, and the engine that it chooses."""

from __future__ import annotations

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from kpis.ingest.engines import EngineChoice, engine_choice, engine_names
from kpis.plugins.registry import PluginError


def add_engine_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--engine",
        choices=engine_names(),
        default=settings.ENGINE,
        help="what reads files and merges large intervals: this machine (local), or a plug-in's engine such as spark "
        f"(default: ENGINE, which is {settings.ENGINE})",
    )


def chosen_engine(name: str) -> EngineChoice:
    """Return the engine of a name; raises CommandError if its plug-in cannot be loaded."""
    try:
        return engine_choice(name)
    except PluginError as error:
        raise CommandError(f"{error}") from error
