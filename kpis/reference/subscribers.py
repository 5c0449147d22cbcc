"""Subscribers: loading and changing them, and their quotas at a given time."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from kpis.catalog.columns import UUID, BadValue, Integer, Text
from kpis.models import QuotaChange, Subscriber

if TYPE_CHECKING:
    import numpy as np

COLUMNS = ("id", "name", "email", "quota")
ROWS_A_STATEMENT = 1000


class SubscriberError(Exception):
    """A file of subscribers that cannot be loaded; the message names the line and the reason."""


@dataclass(frozen=True)
class Loaded:
    """The number of subscribers that were added, changed and unchanged."""

    added: int
    changed: int
    unchanged: int


def load_subscribers(path: Path) -> Loaded:
    """Add and change the subscribers of a CSV file with the columns id, name, email and quota (bytes an hour).

    All or nothing: raises SubscriberError for the first row that is wrong.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            subscribers = list(_read(file))
    except OSError as error:
        raise SubscriberError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise SubscriberError(f"{path} is not valid UTF-8.") from None
    except csv.Error as error:
        raise SubscriberError(f"{path} is no CSV: {error}.") from error
    return put_subscribers(subscribers)


@transaction.atomic
def put_subscribers(subscribers: Iterable[Subscriber]) -> Loaded:
    """Add or change subscribers, and record from when their quotas apply."""
    by_id = {subscriber.id: subscriber for subscriber in subscribers}
    for subscriber in by_id.values():
        # Two spellings of an address are the same.
        subscriber.email = subscriber.email.lower()
    there = {one.id: one for one in Subscriber.objects.select_for_update().iterator() if one.id in by_id}
    added = [one for one in by_id.values() if one.id not in there]
    changed = [one for one in by_id.values() if one.id in there and _content(one) != _content(there[one.id])]
    Subscriber.objects.bulk_create(added, batch_size=ROWS_A_STATEMENT)
    Subscriber.objects.bulk_update(changed, ["name", "email", "quota"], batch_size=ROWS_A_STATEMENT // 4)
    now = timezone.now()
    QuotaChange.objects.bulk_create(
        (QuotaChange(subscriber_id=one.id, email=one.email, quota=one.quota, since=now) for one in [*added, *changed]),
        batch_size=ROWS_A_STATEMENT,
    )
    return Loaded(len(added), len(changed), len(by_id) - len(added) - len(changed))


@transaction.atomic
def remove_subscribers(ids: Iterable[str]) -> None:
    """Remove subscribers; hours that were computed before keep the quotas that applied then."""
    gone = list(Subscriber.objects.filter(pk__in=list(ids)))
    now = timezone.now()
    QuotaChange.objects.bulk_create(
        (QuotaChange(subscriber_id=one.id, email=one.email, quota=None, since=now) for one in gone),
        batch_size=ROWS_A_STATEMENT,
    )
    Subscriber.objects.filter(pk__in=[one.id for one in gone]).delete()


def subscribers_at(moment: datetime) -> dict[str, np.ndarray]:
    """Return the subscribers as they were at a moment (UTC): ``user_id``, ``email``, ``quota`` (bytes an hour).

    The quota of an email is the largest of its devices'.
    """
    import numpy as np

    changes = QuotaChange.objects.filter(since__lte=moment).order_by("since", "id")
    newest = {change[0]: change for change in changes.values_list("subscriber_id", "email", "quota").iterator()}
    in_force = [(device, email, quota) for device, email, quota in newest.values() if quota is not None]
    quotas: dict[str, int] = {}
    for _, email, quota in in_force:
        quotas[email] = max(quota, quotas.get(email, quota))
    return {
        "user_id": np.array([device for device, _, _ in in_force], dtype=object),
        "email": np.array([email for _, email, _ in in_force], dtype=object),
        "quota": np.array([quotas[email] for _, email, _ in in_force], dtype=np.int64),
    }


def devices_at(email: str, moment: datetime) -> list[dict[str, str | int]]:
    """Return the rows of ``subscribers_at`` with the email, by device."""
    ever = QuotaChange.objects.filter(email=email).values("subscriber_id")
    changes = QuotaChange.objects.filter(subscriber_id__in=ever, since__lte=moment).order_by("since", "id")
    newest = {change[0]: change for change in changes.values_list("subscriber_id", "email", "quota")}
    quotas = {device: quota for device, owner, quota in newest.values() if owner == email and quota is not None}
    return [{"user_id": device, "email": email, "quota": max(quotas.values())} for device in sorted(quotas)]


def _content(subscriber: Subscriber) -> tuple[str, str, int]:
    return subscriber.name, subscriber.email, subscriber.quota


def _read(file: Iterable[str]) -> Iterable[Subscriber]:
    reader = csv.reader(file, strict=True)
    header = [name.strip().lower() for name in next(reader, [])]
    if sorted(header) != sorted(COLUMNS):
        raise SubscriberError(f"Line 1: the header must be {','.join(COLUMNS)}, in any order.")
    seen: dict[str, int] = {}
    for fields in reader:
        if not any(field.strip() for field in fields):
            continue
        line = reader.line_num
        if len(fields) != len(header):
            raise SubscriberError(f"Line {line} has {len(fields)} fields where the header has {len(header)}.")
        subscriber = _subscriber(line, dict(zip(header, (field.strip() for field in fields), strict=True)))
        if subscriber.id in seen:
            raise SubscriberError(f"Line {line}: the id stands in line {seen[subscriber.id]} already.")
        seen[subscriber.id] = line
        yield subscriber


def _subscriber(line: int, row: dict[str, str]) -> Subscriber:
    column = ""
    try:
        column = "id"
        key = UUID().parse(row["id"])
        column = "name"
        name = Text(longest=200).parse(row["name"])
        column = "email"
        email = Text(longest=254).parse(row["email"])
        validate_email(email)
        column = "quota"
        quota = cast(int, Integer().parse(row["quota"]))  # None stands for optional columns
    except BadValue as error:
        raise SubscriberError(f"Line {line}: {column} {error}.") from None
    except ValidationError:
        raise SubscriberError(f"Line {line}: email is no e-mail address.") from None
    return Subscriber(id=key, name=name, email=email, quota=quota)
