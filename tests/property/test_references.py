"""Loads of references, in any order and form, give what a plain-Python twin gives, and never versions that overlap."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from kpis.catalog.intervals import EPOCH
from kpis.reference.changes import COLUMNS, changes
from kpis.reference.files import Version

KEYS = ("a", "b", "c")
# By key: (valid_from, valid_to, name), by valid_from.
Held = dict[str, list[tuple[datetime, datetime | None, str]]]


def day(number: int) -> datetime:
    return EPOCH + timedelta(days=number)


def name_at(held: Held, key: str, moment: datetime) -> str | None:
    found = [name for since, until, name in held.get(key, ()) if since <= moment and (until is None or moment < until)]
    assert len(found) <= 1
    return found[0] if found else None


@st.composite
def histories(draw) -> list[tuple]:
    rows = []
    for key in draw(st.sets(st.sampled_from(KEYS))):
        days = sorted(draw(st.sets(st.integers(0, 9), min_size=2, max_size=6)))
        for since, until in zip(days, [*days[1:], None], strict=True):
            if until is None or draw(st.booleans()):
                end = None if until is None and draw(st.booleans()) else day(until or since + 1)
                rows.append((key, day(since), end, draw(st.sampled_from("xyz"))))
    return draw(st.permutations(rows))


@st.composite
def states(draw) -> tuple[datetime, dict[str, str]]:
    keys = draw(st.sets(st.sampled_from(KEYS)))
    return day(draw(st.integers(0, 9))), {key: draw(st.sampled_from("xyz")) for key in sorted(keys)}


def loaded(held: Held, rows: Iterable[tuple], moment: datetime | None, is_partial: bool) -> tuple[Held, int]:
    """What is held after a load, and the number of versions that it touched."""
    old = [(key, *one) for key, versions in held.items() for one in versions]
    with changes(100) as found:
        new = [Version(line, *row, None, None, "{}") for line, row in enumerate(rows, 2)]
        if new:
            found.add_new(new)
        if old:
            found.add_old([(id_, *row, None, None, "{}") for id_, row in enumerate(old)])
        assert found.overlaps(10) == (0, [])
        counts = found.from_history(is_partial) if moment is None else found.from_state(moment, is_partial)
        touched = found.touched(["name"], [])
        gone = {id_ for ids in found.gone() for id_ in ids}
        kept = [row for id_, row in enumerate(old) if id_ not in gone]
        come = [row[:4] for columns in found.come() for row in zip(*(columns[name] for name in COLUMNS), strict=True)]
    after: Held = {}
    for key, since, until, name in sorted([*kept, *come], key=lambda row: row[:2]):
        after.setdefault(key, []).append((since, until, name))
    # The days on which a key has another name than before.
    days = range(12)
    differing = {one for one in days for key in KEYS if name_at(held, key, day(one)) != name_at(after, key, day(one))}
    assert {number for number in days for since, until in touched if since <= day(number) < until} == differing
    assert all(until < since for (_, until), (since, _) in pairwise(touched))
    return after, counts.added + counts.changed + counts.ended + counts.removed


LOADS = st.lists(st.tuples(st.one_of(histories(), states()), st.booleans()), min_size=1, max_size=5)


@settings(max_examples=12)
@given(LOADS)
def test_any_loads_one_after_the_other_hold_what_each_says(loads):
    held: Held = {}
    for what, is_partial in loads:
        before = held
        if isinstance(what, list):
            held, _ = loaded(held, what, None, is_partial)
            keys = {row[0] for row in what}
            expected = {key: sorted(row[1:] for row in what if row[0] == key) for key in keys}
            if is_partial:
                expected |= {key: before[key] for key in before if key not in keys}
            assert held == expected
            again = loaded(held, what, None, is_partial)
        else:
            moment, names = what
            rows = [(key, EPOCH, None, name) for key, name in names.items()]
            held, _ = loaded(held, rows, moment, is_partial)
            for key in KEYS:
                for number in range(12):
                    now = day(number)
                    was = name_at(before, key, now)
                    if now < moment or (is_partial and key not in names) or _changes_until(before, key, moment, now):
                        assert name_at(held, key, now) == was
                    else:
                        assert name_at(held, key, now) == names.get(key)
            again = loaded(held, rows, moment, is_partial)
        assert again == (held, 0)


def _changes_until(held: Held, key: str, moment: datetime, now: datetime) -> bool:
    """True if a version of the key ends or begins after the moment, and not after ``now``: a state holds until then."""
    holding = [one for one in held.get(key, ()) if one[0] <= moment and (one[1] is None or moment < one[1])]
    if holding:
        ((_, until, _),) = holding
        return until is not None and until <= now
    return any(moment < since <= now for since, _, _ in held.get(key, ()))


@settings(max_examples=12)
@given(st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 9), st.integers(1, 9)), max_size=8))
def test_rows_overlap_if_a_moment_is_in_both(rows):
    versions = [
        Version(line, key, day(since), day(since + days), "", None, None, "{}")
        for line, (key, since, days) in enumerate(rows, 2)
    ]
    lines = {
        pair
        for one in versions
        for other in versions
        if one.line != other.line and one.key == other.key
        for pair in [(one.line, other.line)]
        if one.valid_from < (other.valid_to or datetime.max.replace(tzinfo=UTC))
        and other.valid_from < (one.valid_to or datetime.max.replace(tzinfo=UTC))
    }
    with changes(100) as found:
        if versions:
            found.add_new(versions)
        count, overlaps = found.overlaps(100)
    assert {(one.first, one.second) for one in overlaps} <= lines
    assert (count > 0) is bool(lines)
    assert count == len(overlaps)
