"""The identity of a lake: ``lake.json`` in its root names its database, which has the lake's id in turn."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from kpis.catalog.intervals import to_text
from kpis.lake.errors import WrongLake, translate_errors
from kpis.storage import Storage

IDENTITY = PurePosixPath("lake.json")


@dataclass(frozen=True)
class Identity:
    """A lake's own id, its database's id, and by feed name the time (UTC) up to which the lake was pruned."""

    lake: str
    database: str
    kept_from: Mapping[str, datetime] = field(default_factory=dict)


def new_id() -> str:
    """Return a random id for a lake or a database."""
    return str(uuid.uuid4())


def read_identity(storage: Storage) -> Identity | None:
    """Return a lake's identity; None if it has none.

    Raises LakeError if it cannot be read, and WrongLake if it is damaged.
    """
    try:
        with translate_errors(storage.url(IDENTITY)):
            text = storage.read(IDENTITY)
        if text is None:
            return None
        fields = json.loads(text)
        kept_from = {feed: datetime.fromisoformat(moment) for feed, moment in fields["kept_from"].items()}
        return Identity(str(uuid.UUID(fields["lake"])), str(uuid.UUID(fields["database"])), kept_from)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WrongLake(
            f"{storage.url(IDENTITY)} is damaged, so that the lake's database is unknown. "
            "Run manage.py repair_lake, which writes it again."
        ) from None


def write_identity(storage: Storage, identity: Identity) -> None:
    """Write a lake's identity; raises LakeError."""
    fields = {
        "lake": identity.lake,
        "database": identity.database,
        "kept_from": {feed: to_text(moment) for feed, moment in sorted(identity.kept_from.items())},
    }
    with translate_errors(storage.url(IDENTITY)):
        storage.write(IDENTITY, json.dumps(fields, indent=1) + "\n")
        storage.sync()
