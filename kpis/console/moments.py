"""Times in ``TIME_ZONE``, as the pages show and parse them; the database and the API have UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo

from django.conf import settings
from django.utils import timezone

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class BadMoment(ValueError):
    """A text that is not a time; the message is for the person who wrote it."""


def zone() -> tzinfo:
    """Return the zone of all pages."""
    return timezone.get_default_timezone()


def zone_name() -> str:
    """Return the zone's name: ``UTC``, ``Europe/Madrid``."""
    return settings.TIME_ZONE


def local(moment: datetime) -> datetime:
    """Return the same time in the zone."""
    return moment.astimezone(zone())


def clock(moment: datetime) -> str:
    """Format as ``18 Jul 2021, 02:05``, or with the offset if that occurs twice: ``31 Oct 2021, 02:05 (+0200)``."""
    here = local(moment)
    return f"{_clock(here)}{_offset_if_twice(here)}"


def comes_twice(here: datetime) -> bool:
    """Return True if a local time occurs twice, so that only its offset says which of the two it is."""
    # In a zone without changes, such as UTC, this is the same offset.
    return here.replace(fold=1 - here.fold).utcoffset() != here.utcoffset()


def day(here: date) -> str:
    """Format as ``18 Jul``."""
    return f"{here.day} {_MONTHS[here.month - 1]}"


def time_of_day(moment: datetime) -> str:
    """Format as ``02:05``; with the offset if the local time occurs twice: ``02:05 (+0200)``."""
    here = local(moment)
    return f"{_time(here)}{_offset_if_twice(here)}"


def span(start: datetime, end: datetime) -> str:
    """Format as ``18 Jul 2021, 02:00 to 02:05``.

    With both days if they differ, and with offsets if the clocks change, or one of the local times occurs twice.
    """
    first, last = local(start), local(end)
    ending = _time(last) if first.date() == last.date() else _clock(last)
    if first.utcoffset() != last.utcoffset() or comes_twice(first) or comes_twice(last):
        return f"{_clock(first)} ({first:%z}) to {ending} ({last:%z})"
    return f"{_clock(first)} to {ending}"


def iso(moment: datetime) -> str:
    """Format as ``2021-07-18T02:05:00+02:00``; with a Z for UTC."""
    return local(moment).isoformat().replace("+00:00", "Z")


def for_input(moment: datetime) -> str:
    """Format for an input: ``2021-07-18T02:05``, in the zone; with the offset if the local time occurs twice."""
    here = local(moment)
    return f"{here:%Y-%m-%dT%H:%M}" + (f"{here.isoformat()[-6:]}" if comes_twice(here) else "")


def input_type(moment: datetime) -> str:
    """Return the type of the input for ``for_input``: ``datetime-local`` cannot hold an offset."""
    return "text" if comes_twice(local(moment)) else "datetime-local"


def for_file(moment: datetime) -> str:
    """Format for a file name: ``2021-07-18-0205``; with the offset if the local time occurs twice."""
    here = local(moment)
    return f"{here:%Y-%m-%d-%H%M}" + (f"{here:%z}" if comes_twice(here) else "")


def _clock(here: datetime) -> str:
    return f"{day(here)} {here.year}, {_time(here)}"


def _offset_if_twice(here: datetime) -> str:
    return f" ({here:%z})" if comes_twice(here) else ""


def _time(here: datetime) -> str:
    # Charts have thousands of these, and strftime is slow.
    return f"{here.hour:02}:{here.minute:02}"


_FORM = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[-+ ][0-9]{2}:[0-9]{2})?)?"
)


def parse(text: str) -> datetime:
    """Parse an ISO 8601 text into a time (UTC); without an offset it is in the zone.

    Of a local time that occurs twice, it is the first. Raises BadMoment.
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
        raise BadMoment(f"{text!r} is not a time such as 2021-07-18T02:05 or 2021-07-18T00:05Z.") from None
    return moment
