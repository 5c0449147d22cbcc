"""Binds a database to its lake: each stores the other's id, so that neither works with the wrong one."""

from __future__ import annotations

import tempfile
import uuid
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction

from kpis.catalog.feeds import Feed
from kpis.catalog.registry import FEEDS
from kpis.lake import Identity, Lake, Verify, WrongLake, read_identity, translate_errors, write_identity
from kpis.lake.adoption import KeyLedger, adopted
from kpis.lake.identity import IDENTITY, new_id
from kpis.models import Batch, BatchInterval, LakeBinding, Watermark
from kpis.storage import Storage, storage_at
from kpis.store.days import note_zone
from kpis.store.dialects import dialect
from kpis.store.lake_files import add_lake_files

ROOT = PurePosixPath()
ADVICE = (
    "Mount the lake's disk, or correct LAKE_DIR or DATABASE_URL. Where the lake itself is lost, put it back from a "
    "backup or run manage.py repair_lake."
)


class BoundLedger(KeyLedger, Protocol):
    """The methods of a ledger that binding it to a lake needs."""

    def kept_from(self, feed: Feed) -> datetime | None:
        """Return the moment (UTC) before which the lake was pruned of the feed; None where it never was."""

    def keep_from(self, feed: Feed, moment: datetime) -> None:
        """Record that the lake keeps nothing of a feed before a moment (UTC)."""


def bind(lake: Lake, ledger: BoundLedger, files_required: bool = True) -> None:
    """Check that the lake is this database's, and bind them where both are new or of version 0.1.0.

    The caller holds the lock. Where the lake was pruned of more than this database knows, as after a restore of the
    database, the ledger records it. ``files_required=False`` also binds a lake of version 0.1.0 that has lost all of
    its files. Raises WrongLake, and LakeError where the lake cannot be used; nothing was written to it then.
    """
    identity = read_identity(lake.storage)
    binding = LakeBinding.objects.first()
    _check(lake.storage, binding, identity)
    if binding is None:
        # Saved before the lake has it: a lake whose database does not know its own id would fit no database.
        binding = LakeBinding.objects.create(database_id=uuid.uuid4())
    if binding.lake_id is None:
        identity = _bind_new(lake, ledger, binding, identity, files_required)
    assert identity is not None  # noqa: S101  _check raises for the other cases
    for name, moment in identity.kept_from.items():
        kept_from = ledger.kept_from(FEEDS[name]) if name in FEEDS else moment
        if kept_from is None or kept_from < moment:
            ledger.keep_from(FEEDS[name], moment)
    note_zone(binding)


def check_ids(storage: Storage) -> None:
    """Raise WrongLake if the lake or the database is bound to another one; writes nothing."""
    _check(storage, LakeBinding.objects.first(), read_identity(storage))


def rebind(lake: Lake, ledger: BoundLedger, dry_run: bool) -> str:
    """Do what ``bind`` does, and write the lake's identity again if it is missing or damaged.

    Returns what was wrong with the identity, "" for nothing; with ``dry_run`` it does only that. Raises what ``bind``
    raises.
    """
    binding, wrong = LakeBinding.objects.first(), ""
    if binding is not None and binding.lake_id is not None:
        try:
            identity = read_identity(lake.storage)
        except WrongLake:
            identity, wrong = None, "is damaged"
        if identity is None:
            wrong = f"{lake.storage.url(IDENTITY)} {wrong or 'is missing'}"
            if not dry_run:
                kept_from = {name: moment for name in FEEDS if (moment := ledger.kept_from(FEEDS[name]))}
                write_identity(lake.storage, Identity(str(binding.lake_id), str(binding.database_id), kept_from))
            return wrong
    if dry_run:
        check(lake.storage)
    else:
        bind(lake, ledger, files_required=False)
    return wrong


def check(storage: Storage) -> None:
    """Raise WrongLake if the lake is not bound to this database; writes nothing.

    Also raised where both are of version 0.1.0, which no run has bound yet. If both are new, returns.
    """
    check_ids(storage)
    binding = LakeBinding.objects.first()
    if (binding is None or binding.lake_id is None) and BatchInterval.objects.exists():
        raise WrongLake(
            f"The lake at {storage.url(ROOT)} is of version 0.1.0. Run manage.py update_network_stats, which goes on "
            f"with it."
        )


def record_pruning(storage: Storage, ledger: BoundLedger) -> None:
    """Write into the lake up to when it is pruned of each feed, for a database that is restored from before."""
    identity = read_identity(storage)
    if identity is not None:
        kept_from = {name: moment for name in FEEDS if (moment := ledger.kept_from(FEEDS[name]))}
        write_identity(storage, Identity(identity.lake, identity.database, {**identity.kept_from, **kept_from}))


def lake_storage() -> Storage:
    """Return the storage of the lake's files; raises LakeError."""
    with translate_errors(str(settings.LAKE_DIR)):
        return storage_at(settings.LAKE_DIR, Path(tempfile.gettempdir()))


def lake_options() -> dict[str, Any]:
    """Return the settings of the lake as arguments of ``pipeline.engine``."""
    return {"verify": Verify(settings.LAKE_VERIFY), "synced": settings.LAKE_SYNC}


def _check(storage: Storage, binding: LakeBinding | None, identity: Identity | None) -> None:
    """Raise WrongLake if the ids that the database and the lake store of each other differ."""
    lake, database = storage.url(ROOT), f"the database {dialect().location}"
    if identity is None:
        if binding is not None and binding.lake_id is not None:
            raise WrongLake(
                f"There is no lake at {lake} (it has no lake.json), but {database} has the lake {binding.lake_id}. "
                f"{ADVICE}"
            )
    elif binding is None or identity.database != str(binding.database_id):
        raise WrongLake(f"The lake at {lake} ({identity.lake}) belongs to another database than {database}. {ADVICE}")
    elif binding.lake_id is not None and identity.lake != str(binding.lake_id):
        raise WrongLake(
            f"The lake at {lake} is {identity.lake}, but {database} has the lake {binding.lake_id}. {ADVICE}"
        )


def _bind_new(
    lake: Lake, ledger: BoundLedger, binding: LakeBinding, identity: Identity | None, files_required: bool
) -> Identity:
    """Bind a lake and a database, or finish what was killed while it did so."""
    files = list(adopted(lake, ledger)) if Batch.objects.filter(status=Batch.Status.IN).exists() else []
    if identity is None:
        if not files and files_required and _needs_files():
            raise WrongLake(
                f"The lake at {lake.storage.url(ROOT)} has none of the files that the database {dialect().location} "
                f"refers to. {ADVICE}"
            )
        marks = Watermark.objects.values_list("feed", "kept_from")
        kept_from = {feed: moment for feed, moment in marks if moment is not None}
        identity = Identity(new_id(), str(binding.database_id), kept_from)
        write_identity(lake.storage, identity)
    with transaction.atomic():
        add_lake_files(files)
        binding.lake_id = uuid.UUID(identity.lake)
        binding.save()
    return identity


def _needs_files() -> bool:
    """Return True if there are batches with records in hours that the lake is not pruned of."""
    kept_from = dict(Watermark.objects.values_list("feed", "kept_from"))
    for name in FEEDS:
        found = BatchInterval.objects.filter(batch__feed=name, batch__status=Batch.Status.IN)
        if kept_from.get(name):
            found = found.filter(interval_start_timestamp__gte=kept_from[name])
        if found.exists():
            return True
    return False
