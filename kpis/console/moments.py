"""Moments in ``TIME_ZONE``, as people read and write them on the pages; the database and the API have UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo

from django.conf import settings
from django.utils import timezone

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class BadMoment(ValueError):
    """A text that is no moment, in words for the person who wrote it."""


def zone() -> tzinfo:
    """The zone of all pages."""
    return timezone.get_default_timezone()


def zone_name() -> str:
    """What the zone is called: ``UTC``, ``Europe/Madrid``."""
    return settings.TIME_ZONE


def local(moment: datetime) -> datetime:
    """The same moment on the zone's clocks."""
    return moment.astimezone(zone())


def clock(moment: datetime) -> str:
    """``18 Jul 2021, 02:05``; with the offset where the clocks show the time twice: ``31 Oct 2021, 02:05 (+0200)``."""
    here = local(moment)
    return f"{_clock(here)}{_offset_if_twice(here)}"


def comes_twice(here: datetime) -> bool:
    """True if the clocks show a local time twice, so that only its offset tells which of the two it is."""
    # Of a zone without changes, such as UTC, this is the same offset.
    return here.replace(fold=1 - here.fold).utcoffset() != here.utcoffset()


def day(here: date) -> str:
    """``18 Jul``."""
    return f"{here.day} {_MONTHS[here.month - 1]}"


def time_of_day(moment: datetime) -> str:
    """``02:05``; with the offset where the clocks show it twice: ``02:05 (+0200)``."""
    here = local(moment)
    return f"{_time(here)}{_offset_if_twice(here)}"


def span(start: datetime, end: datetime) -> str:
    """``18 Jul 2021, 02:00 to 02:05``; with both days where there are two, and offsets where the clocks change, or show
    one of the times twice.
    """
    first, last = local(start), local(end)
    ending = _time(last) if first.date() == last.date() else _clock(last)
    if first.utcoffset() != last.utcoffset() or comes_twice(first) or comes_twice(last):
        return f"{_clock(first)} ({first:%z}) to {ending} ({last:%z})"
    return f"{_clock(first)} to {ending}"


def iso(moment: datetime) -> str:
    """``2021-07-18T02:05:00+02:00``; with a Z for UTC."""
    return local(moment).isoformat().replace("+00:00", "Z")


def for_input(moment: datetime) -> str:
    """As an input has it: ``2021-07-18T02:05``, on the zone's clocks; with the offset where they show it twice."""
    here = local(moment)
    return f"{here:%Y-%m-%dT%H:%M}" + (f"{here.isoformat()[-6:]}" if comes_twice(here) else "")


def input_type(moment: datetime) -> str:
    """The type of an input that can have what ``for_input`` gives: ``datetime-local`` has no room for an offset."""
    return "text" if comes_twice(local(moment)) else "datetime-local"


def for_file(moment: datetime) -> str:
    """As a part of a file's name: ``2021-07-18-0205``; with the offset where the clocks show it twice."""
    here = local(moment)
    return f"{here:%Y-%m-%d-%H%M}" + (f"{here:%z}" if comes_twice(here) else "")


def _clock(here: datetime) -> str:
    return f"{day(here)} {here.year}, {_time(here)}"


def _offset_if_twice(here: datetime) -> str:
    return f" ({here:%z})" if comes_twice(here) else ""


def _time(here: datetime) -> str:
    # Charts have thousands of these, and strftime takes its time.
    return f"{here.hour:02}:{here.minute:02}"


_FORM = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[-+ ][0-9]{2}:[0-9]{2})?)?"
)


def parse(text: str) -> datetime:
    """The moment (UTC) of an ISO 8601 text; without an offset it is on the zone's clocks.

    Of an hour that the clocks show twice, it is the first. Raises BadMoment.
    """
    found = _FORM.fullmatch(text.strip())
    try:
        if not found:
            raise ValueError
        # A "+" that was not percent-encoded arrives as a space.
        offset = (found[4] or "").replace(" ", "+").upper()
        moment = datetime.fromisoformat(found[0][: len(found[0]) - len(offset)] + offset)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=zone())).astimezone(UTC)
        if not 1000 <= moment.year <= 9998:
            raise ValueError
    except (ValueError, OverflowError):
        raise BadMoment(f"{text!r} is no moment such as 2021-07-18T02:05 or 2021-07-18T00:05Z.") from None
    return moment
