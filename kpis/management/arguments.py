"""Parsing of command arguments beyond argparse's."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from kpis.console import moments

# No option begins like this: it is a value, such as a grid cell, a service's id or a number.
_NEGATIVE = re.compile(r"-[.0-9]")


def local_moment(text: str) -> datetime:
    """Parse ISO 8601 into a time (UTC); without an offset or Z it is in TIME_ZONE. Raises ArgumentTypeError."""
    try:
        return moments.parse(text)
    except moments.BadMoment as error:
        raise ArgumentTypeError(f"{error}".rstrip(".")) from None


def with_negative_values(arguments: Iterable[str]) -> list[str]:
    """Join an option with the value after it if that begins like a negative number: ``--group=-34.6``.

    argparse takes ``-34.60,-58.40`` for an option, as anything that begins with ``-`` and is not a plain number.
    """
    joined: list[str] = []
    for argument in arguments:
        option = joined[-1] if joined else ""
        if _NEGATIVE.match(argument) and option.startswith("--") and option != "--" and "=" not in option:
            joined[-1] = f"{option}={argument}"
        else:
            joined.append(argument)
    return joined


class NegativeValues(BaseCommand):
    """A command whose options accept values that begin with ``-`` and a digit."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return the command's parser."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parse = parser.parse_args

        def parse_args(args: Sequence[str] = (), namespace: Any = None) -> Any:
            return parse(with_negative_values(args), namespace)

        parser.parse_args = parse_args  # type: ignore[assignment, method-assign]  # of this parser
        return parser
