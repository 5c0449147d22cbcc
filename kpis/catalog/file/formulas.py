"""KPIs in a line: a ``formula`` instead of the keys feed, by, measure and lengths.

``100 * sum(a) / sum(a, b) of ipflow by cell_id.region per 1h, 1d`` is the ratio of two sums over the records of a feed,
by dimensions, per lengths. Its entry is that of the same KPI with keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import shorten
from typing import Any

from kpis.catalog.file.entries import FORMULA
from kpis.catalog.file.errors import Keys
from kpis.catalog.file.source import Source
from kpis.catalog.kpis import words_of

# What the formula says.
REPLACED = ("feed", "by", "measure", "lengths")
EXAMPLE = "100 * sum(up) / sum(up, down) of probe by cell per 1h, 1d"
_PARTS = re.compile(r"(?P<what>.+)\sof\s+(?P<feed>\w+)\s+by\s+(?P<by>[^']+)\s+per\s+(?P<lengths>[\w\s,]+)", re.DOTALL)
_CALL = re.compile(r"\b(sum|count)\s*\(")
_SCALED = re.compile(r"([0-9]+)\s*\*\s*(term_[0-9]+|\(.*\))", re.DOTALL)
_LONGEST_DESCRIPTION = 200


def in_full(source: Source, name: str, kpi: Any) -> Any:
    """Return the values of a KPI's table with the keys that its formula stands for; as they are without a formula.

    Raises CatalogError if the formula is none.
    """
    if not isinstance(kpi, dict) or FORMULA not in kpi:
        return kpi
    at: Keys = ("kpis", name, FORMULA)
    if twice := [key for key in REPLACED if key in kpi]:
        raise source.error(("kpis", name, twice[0]), f"is said by the {FORMULA}: leave one of them out")
    text = kpi[FORMULA]
    found = _PARTS.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise source.error(at, f"must be a text such as {EXAMPLE!r}")
    measure = _measure(source, at, found["what"].strip(), "_".join(words_of(name)).lower())
    unit = "percent" if measure["scale"] == 100 else "ratio"
    values = {
        "description": shorten(text, _LONGEST_DESCRIPTION, placeholder=" ..."),
        "unit": unit,
        **{key: value for key, value in kpi.items() if key != FORMULA},
    }
    return values | {
        "feed": found["feed"],
        "by": _listed(found["by"]),
        "measure": measure,
        "lengths": _listed(found["lengths"]),
    }


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _measure(source: Source, at: Keys, text: str, name: str) -> dict[str, Any]:
    """Return the values of the measure of a quotient, whose value has a name."""
    terms: list[dict[str, Any]] = []
    formula = ""
    end = 0
    for start, kind, inner, after in _calls(source, at, text):
        term = _term(source, at, kind, inner)
        number = next((place for place, one in enumerate(terms) if one == term), len(terms))
        if number == len(terms):
            terms.append(term)
        formula += f"{text[end:start]}term_{number + 1}"
        end = after
    formula += text[end:]
    quotient = [part.strip() for part in formula.split("/")]
    if len(quotient) != 2 or not all(quotient) or not terms:
        raise source.error(at, f"must have one quotient of sums or counts, as {EXAMPLE!r} has")
    scale = 1
    if found := _SCALED.fullmatch(quotient[0]):
        scale, quotient[0] = int(found[1]), found[2]
    return {
        "type": "ratio",
        "name": name,
        "numerator": quotient[0],
        "denominator": quotient[1],
        "scale": scale,
        "terms": [{"name": f"term_{number}", **term} for number, term in enumerate(terms, 1)],
    }


def _calls(source: Source, at: Keys, text: str) -> Iterator[tuple[int, str, str, int]]:
    """Yield the sums and counts of a text: where each starts, which it is, what its parentheses have, where it ends."""
    place = 0
    while found := _CALL.search(text, place):
        depth, is_text, place = 1, False, found.end()
        while place < len(text) and depth:
            sign = text[place]
            is_text ^= sign == "'"
            depth += 0 if is_text else {"(": 1, ")": -1}.get(sign, 0)
            place += 1
        if depth:
            raise source.error(at, f"has no closing parenthesis for {text[found.start() :]}")
        yield found.start(), found[1], text[found.end() : place - 1].strip(), place


def _term(source: Source, at: Keys, kind: str, inner: str) -> dict[str, Any]:
    """Return the values of a term: columns that are added up, or a condition on the records that are counted."""
    if kind == "count":
        return {"where": inner} if inner else {}
    columns, _, where = inner.partition(" where ")
    if not columns:
        raise source.error(at, "has a sum of nothing: sum(bytes) adds up the column bytes")
    return {"columns": _listed(columns)} | ({"where": where.strip()} if where else {})
