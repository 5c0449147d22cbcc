"""KPIs that a sample's columns may give: two or three to begin with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kpis.catalog.file.entry import LONGEST_KPI_NAME
from kpis.describe.guesses import Guess, Role

MOST_SUGGESTIONS = 3
MOST_GROUPS = 100_000


@dataclass(frozen=True)
class Suggestion:
    """A KPI: its name, description, dimensions, measure (the keys in a catalog file) and unit."""

    name: str
    description: str
    by: tuple[str, ...]
    measure: dict[str, Any]
    unit: str
    is_top: bool = False


def suggestions(guesses: Sequence[Guess], feed: str, taken: Collection[str]) -> list[Suggestion]:
    """Return the KPIs that are suggested for a feed with such columns, none with a name that is taken."""
    lower = {name.lower() for name in taken}
    groups = sorted(
        (one for one in guesses if one.role is Role.GROUP and one.distinct <= MOST_GROUPS and _names_groups(one)),
        key=lambda one: (-(one.type in ("text", "choice")), -one.distinct),
    )
    found: dict[str, Suggestion] = {}
    for one in _all(guesses, groups):
        name = _camel(feed) + one.name if one.name.lower() in lower else one.name
        found.setdefault(name[:LONGEST_KPI_NAME], replace(one, name=name[:LONGEST_KPI_NAME]))
    return list(found.values())[:MOST_SUGGESTIONS]


def _names_groups(guess: Guess) -> bool:
    # Whole numbers of a group cannot be missing.
    if guess.type == "integer":
        return not guess.optional
    return guess.type in ("text", "choice", "postal_code", "uuid", "boolean")


def _all(guesses: Sequence[Guess], groups: Sequence[Guess]) -> Iterator[Suggestion]:
    if not groups:
        return
    main, other = groups[0], groups[min(1, len(groups) - 1)]
    most = max(groups, key=lambda one: one.distinct)
    added = [one for one in guesses if one.role is Role.ADDED and not one.optional]
    if added:
        unit = next((one.unit for one in added if one.unit == "bytes"), added[0].unit)
        columns = [one.name for one in added if one.unit == unit]
        # Several columns of a unit are added up: bytes up and down are bytes.
        kind = columns[0] if len(columns) == 1 else _slug(unit) or columns[0]
        yield Suggestion(
            f"{_camel(_group(most.name))}{_camel(kind)}",
            f"{_title(most.name)} by {_words(kind)}",
            (most.name,),
            {"type": "sum", "columns": columns, "name": f"total_{kind}"},
            unit or _words(kind),
            is_top=most.distinct > 1_000,
        )
    for one in guesses:
        if one.role is Role.AVERAGED:
            yield Suggestion(
                f"{_camel(_group(main.name))}{_camel(one.name)}",
                f"{_title(main.name)} by average {_words(one.name)}",
                (main.name,),
                {"type": "mean", "column": one.name, "name": f"average_{one.name}"},
                one.unit or _words(one.name),
            )
            break
    for one in guesses:
        if one.role is Role.PERSON and not one.optional:
            yield Suggestion(
                f"{_camel(_group(most.name))}UniqueUsers",
                f"{_title(most.name)} by distinct {_words(one.name)}",
                (most.name,),
                {"type": "count_distinct", "column": one.name, "name": "number_of_unique_users"},
                "users",
            )
            break
    yield Suggestion(
        f"{_camel(_group(other.name))}Records",
        f"{_title(other.name)} by records",
        (other.name,),
        {"type": "count", "name": "number_of_records", "share": "share"},
        "records",
    )


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in _slug(name).split("_"))


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower()).strip("_")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _title(name: str) -> str:
    """Return the name of a dimension's groups: ``cell_id`` gives "Cells"."""
    words = _words(_group(name)).capitalize()
    return words if words.endswith("s") else f"{words}s"


def _group(name: str) -> str:
    return name.removesuffix("_id") or name
