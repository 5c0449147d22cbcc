"""Whether the lake in hand is this database's: each has the other's id, written when both were new."""

from __future__ import annotations

import tempfile
import uuid
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction

from kpis.catalog.feeds import FEEDS, Feed
from kpis.lake import Identity, Lake, Verify, WrongLake, read_identity, translate_errors, write_identity
from kpis.lake.adoption import KeyLedger, adopted
from kpis.lake.identity import IDENTITY, new_id
from kpis.models import Batch, BatchInterval, LakeBinding, Watermark
from kpis.storage import Storage, storage_at
from kpis.store.dialects import dialect
from kpis.store.lake_files import add_lake_files

ROOT = PurePosixPath()
MEND = (
    "Mount the lake's disk, or correct LAKE_DIR or DATABASE_URL. Where the lake itself is lost, put it back from a "
    "backup or run manage.py repair_lake."
)


class BoundLedger(KeyLedger, Protocol):
    """What there is to know of the ledger to bind it to a lake."""

    def kept_from(self, feed: Feed) -> datetime | None:
        """The moment (UTC) before which the lake was pruned of the feed; None where it never was."""

    def keep_from(self, feed: Feed, moment: datetime) -> None:
        """Notes that the lake keeps nothing of a feed before a moment (UTC)."""


def bind(lake: Lake, ledger: BoundLedger, may_lack_files: bool = False) -> None:
    """Checks that the lake is this database's, and makes it so where both are new or of version 0.1.0.

    For whoever holds the lock. Where the lake was pruned of more than this database knows of, as after a restore, the
    ledger is told. ``may_lack_files`` binds a lake of version 0.1.0 that has lost all. Raises WrongLake, and LakeError
    where the lake cannot be used; then nothing was written to it.
    """
    told = read_identity(lake.storage)
    binding = LakeBinding.objects.first()
    _check(lake.storage, binding, told)
    if binding is None:
        # Before the lake has it, as a lake whose database has forgotten its own id would be nobody's.
        binding = LakeBinding.objects.create(database_id=uuid.uuid4())
    if binding.lake_id is None:
        told = _bind_new(lake, ledger, binding, told, may_lack_files)
    assert told is not None  # noqa: S101  what _check says
    for name, moment in told.kept_from.items():
        kept_from = ledger.kept_from(FEEDS[name]) if name in FEEDS else moment
        if kept_from is None or kept_from < moment:
            ledger.keep_from(FEEDS[name], moment)


def check_ids(storage: Storage) -> None:
    """Raises WrongLake where the lake or the database belongs to another one; writes nothing."""
    _check(storage, LakeBinding.objects.first(), read_identity(storage))


def rebind(lake: Lake, ledger: BoundLedger, dry_run: bool) -> str:
    """Does what ``bind`` does, and writes what the lake says of itself again where that is missing or damaged.

    Gives what was wrong with it, "" for nothing; with ``dry_run`` only that. Raises what ``bind`` raises.
    """
    binding, wrong = LakeBinding.objects.first(), ""
    if binding is not None and binding.lake_id is not None:
        try:
            told = read_identity(lake.storage)
        except WrongLake:
            told, wrong = None, "is damaged"
        if told is None:
            wrong = f"{lake.storage.url(IDENTITY)} {wrong or 'is missing'}"
            if not dry_run:
                kept_from = {name: moment for name in FEEDS if (moment := ledger.kept_from(FEEDS[name]))}
                identity = Identity(str(binding.lake_id), str(binding.database_id), kept_from)
                write_identity(lake.storage, identity)
            return wrong
    if dry_run:
        check(lake.storage)
    else:
        bind(lake, ledger, may_lack_files=True)
    return wrong


def check(storage: Storage) -> None:
    """Raises WrongLake where the lake is not this database's, also not yet, as one of version 0.1.0; writes nothing.

    Where neither has anything yet, there is nothing to read, and all is well.
    """
    check_ids(storage)
    binding = LakeBinding.objects.first()
    if (binding is None or binding.lake_id is None) and BatchInterval.objects.exists():
        raise WrongLake(
            f"The lake at {storage.url(ROOT)} is of version 0.1.0. Run manage.py update_network_stats, which goes on "
            f"with it."
        )


def note_pruned(storage: Storage, ledger: BoundLedger) -> None:
    """Writes into the lake up to when it is pruned of each feed, which another database may be told by."""
    told = read_identity(storage)
    if told is not None:
        kept_from = {name: moment for name in FEEDS if (moment := ledger.kept_from(FEEDS[name]))}
        write_identity(storage, Identity(told.lake, told.database, {**told.kept_from, **kept_from}))


def lake_storage() -> Storage:
    """The lake's files, to be read; raises LakeError."""
    with translate_errors(str(settings.LAKE_DIR)):
        return storage_at(settings.LAKE_DIR, Path(tempfile.gettempdir()))


def lake_options() -> dict[str, Any]:
    """How the settings have an engine treat the lake, as ``pipeline.engine`` takes it."""
    return {"verify": Verify(settings.LAKE_VERIFY), "synced": settings.LAKE_SYNC}


def _check(storage: Storage, binding: LakeBinding | None, told: Identity | None) -> None:
    """Raises WrongLake where the ids of the database and the lake do not go together."""
    lake, database = storage.url(ROOT), f"the database {dialect().location}"
    if told is None:
        if binding is not None and binding.lake_id is not None:
            raise WrongLake(
                f"There is no lake at {lake} (it has no lake.json), but {database} has the lake {binding.lake_id}. "
                f"{MEND}"
            )
    elif binding is None or told.database != str(binding.database_id):
        raise WrongLake(f"The lake at {lake} ({told.lake}) belongs to another database than {database}. {MEND}")
    elif binding.lake_id is not None and told.lake != str(binding.lake_id):
        raise WrongLake(f"The lake at {lake} is {told.lake}, but {database} has the lake {binding.lake_id}. {MEND}")


def _bind_new(
    lake: Lake, ledger: BoundLedger, binding: LakeBinding, told: Identity | None, may_lack_files: bool
) -> Identity:
    """Binds what is not bound yet, or was when that broke off."""
    files = list(adopted(lake, ledger)) if Batch.objects.filter(status=Batch.Status.IN).exists() else []
    if told is None:
        if not files and not may_lack_files and _needs_files():
            raise WrongLake(
                f"The lake at {lake.storage.url(ROOT)} has none of the files that the database {dialect().location} "
                f"counts on. {MEND}"
            )
        kept_from = dict(Watermark.objects.exclude(kept_from=None).values_list("feed", "kept_from"))
        told = Identity(new_id(), str(binding.database_id), kept_from)
        write_identity(lake.storage, told)
    with transaction.atomic():
        add_lake_files(files)
        binding.lake_id = uuid.UUID(told.lake)
        binding.save()
    return told


def _needs_files() -> bool:
    """True if there are batches with records of hours that the lake is not pruned of."""
    kept_from = dict(Watermark.objects.values_list("feed", "kept_from"))
    for name in FEEDS:
        found = BatchInterval.objects.filter(batch__feed=name, batch__status=Batch.Status.IN)
        if kept_from.get(name):
            found = found.filter(interval_start_timestamp__gte=kept_from[name])
        if found.exists():
            return True
    return False
