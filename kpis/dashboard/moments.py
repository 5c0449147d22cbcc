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
    """``18 Jul 2021, 02:05``."""
    here = local(moment)
    return f"{day(here)} {here.year}, {_time(here)}"


def day(here: date) -> str:
    """``18 Jul``."""
    return f"{here.day} {_MONTHS[here.month - 1]}"


def time_of_day(moment: datetime) -> str:
    """``02:05``."""
    return _time(local(moment))


def span(start: datetime, end: datetime) -> str:
    """``18 Jul 2021, 02:00 to 02:05``; with both days where there are two, and offsets where the clocks change."""
    first, last = local(start), local(end)
    ending = _time(last) if first.date() == last.date() else clock(end)
    if first.utcoffset() != last.utcoffset():
        return f"{clock(start)} ({first:%z}) to {ending} ({last:%z})"
    return f"{clock(start)} to {ending}"


def iso(moment: datetime) -> str:
    """``2021-07-18T02:05:00+02:00``; with a Z for UTC."""
    return local(moment).isoformat().replace("+00:00", "Z")


def for_input(moment: datetime) -> str:
    """As an ``<input type="datetime-local">`` has it: ``2021-07-18T02:05``, on the zone's clocks."""
    return f"{local(moment):%Y-%m-%dT%H:%M}"


def for_file(moment: datetime) -> str:
    """As a part of a file's name: ``2021-07-18-0205``."""
    return f"{local(moment):%Y-%m-%d-%H%M}"


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
