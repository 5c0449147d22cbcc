"""The checks of ``manage.py doctor``: each reports the state of one part of the installation, and how to fix it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max

from kpis import extras
from kpis.catalog.file_names import FileNames
from kpis.catalog.intervals import to_text
from kpis.catalog.registry import DECLARED_FEEDS, DECLARED_KPIS, DEFINITIONS, FEEDS, REFERENCES
from kpis.engine import compiled
from kpis.lake import STAGING, LakeError, WrongLake
from kpis.models import Batch, Reference, Run, Watermark
from kpis.plugins.registry import PLUGINS, problems
from kpis.storage import Address, BucketAddress, Storage, bucket_at, storage_at
from kpis.storage.folder import Folder
from kpis.store.applied import unapplied
from kpis.store.binding import check, lake_storage
from kpis.store.days import zone_problem
from kpis.store.dialects import Finding, Verdict, dialect

LOCAL_HOSTS = {"localhost", "127.0.0.1", "[::1]"}
SHORT_KEY = 50
LEAST_FREE_BYTES = 1_000_000_000
# Three periods of the schedule in crontab.example.
LONGEST_PAUSE = timedelta(minutes=15)
COMMAND = "update_network_stats"
# Asking the database takes time, and clocks synchronised by NTP differ by less.
CLOCKS_APART = timedelta(seconds=5)


def examine(now: datetime) -> Iterator[Finding]:
    """Yield the findings of all checks, in the order in which problems are best fixed."""
    yield secret_key()
    yield debug()
    yield allowed_hosts()
    yield https()
    yield installed_extras()
    yield from plugins()
    yield scanner()
    found, answers = database()
    yield found
    if answers:
        yield from dialect().server_findings()
        yield power_cuts()
        migrated = migrations()
        yield migrated
        if migrated.verdict is Verdict.OK:
            yield from catalog()
            yield from references()
            yield from days()
    yield lake()
    yield staging()
    yield data_dir()
    if answers and migrated.verdict is Verdict.OK:
        yield clocks(now)
        yield last_run(now)
    yield crontab()


def secret_key() -> Finding:
    subject = "SECRET_KEY"
    try:
        key = settings.SECRET_KEY
    except ImproperlyConfigured:
        return Finding(Verdict.MEND, subject, "is not set, so the web does not start; `make .env` makes one")
    if settings.DEBUG:
        return Finding(Verdict.OK, subject, "is set, or generated at each start while DEBUG is on")
    if len(key) < SHORT_KEY:
        return Finding(Verdict.MEND, subject, f"is short; take one of at least {SHORT_KEY} random characters")
    return Finding(Verdict.OK, subject, "is set")


def debug() -> Finding:
    if settings.DEBUG:
        return Finding(Verdict.MEND, "DEBUG", "is on, and errors show the program's inside; set DEBUG=off")
    return Finding(Verdict.OK, "DEBUG", "is off")


def _serves_others() -> bool:
    return not set(settings.ALLOWED_HOSTS) <= LOCAL_HOSTS


def allowed_hosts() -> Finding:
    subject = "ALLOWED_HOSTS"
    if "*" in settings.ALLOWED_HOSTS:
        return Finding(Verdict.MEND, subject, "is *, which lets anyone choose the site's name; list its names")
    if not _serves_others():
        return Finding(Verdict.NOTE, subject, "has only this host, so no other host can use the web")
    return Finding(Verdict.OK, subject, ", ".join(settings.ALLOWED_HOSTS))


def https() -> Finding:
    if settings.HTTPS:
        return Finding(Verdict.OK, "HTTPS", "is on")
    if _serves_others():
        return Finding(
            Verdict.MEND, "HTTPS", "is off, and passwords travel readable; set HTTPS=on (see docs/how-to/deployment.md)"
        )
    return Finding(Verdict.OK, "HTTPS", "is off, which will do for this host alone")


def installed_extras() -> Finding:
    there = [extra for extra in extras.EXTRAS if extras.is_installed(extra)]
    absent = [extra for extra in extras.EXTRAS if extra not in there]
    text = f"{', '.join(there) or 'none'} installed"
    return Finding(Verdict.OK, "extras", f"{text}, {', '.join(absent)} not" if absent else text)


def plugins() -> Iterator[Finding]:
    """Check that all that the plug-ins add can be imported."""
    for package, plugin in PLUGINS.items():
        subject = f"plug-in {plugin.name}"
        flaws = list(problems(package))
        yield from (Finding(Verdict.MEND, subject, flaw.rstrip(".")) for flaw in flaws)
        if not flaws:
            yield Finding(Verdict.OK, subject, f"{package} adds {plugin.adds or 'nothing but its Django app'}")


def scanner() -> Finding:
    if compiled.library():
        return Finding(Verdict.OK, "compiled scanner", "is built")
    return Finding(
        Verdict.NOTE,
        "compiled scanner",
        "is not built: files take several times as long; `make -B setup` tries again",
    )


def database() -> tuple[Finding, bool]:
    """Check that the database answers; return the finding, and True if it does."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        version = ".".join(map(str, connection.get_database_version()))
    except DatabaseError as error:
        text = f"does not answer ({_one_line(error)}); start it, or correct DATABASE_URL"
        return Finding(Verdict.MEND, "database", text), False
    return Finding(Verdict.OK, "database", f"{dialect().name} {version} answers"), True


def power_cuts() -> Finding:
    """Check that commits and the lake files that they refer to survive a power cut."""
    subject = "power cuts"
    if not settings.LAKE_SYNC:
        return Finding(Verdict.NOTE, subject, "may cost the last runs' files, as LAKE_SYNC is off")
    problem = dialect().durability_problem()
    if problem:
        text = f"may cost the database its last commits, which the lake relies on, as {problem}"
        return Finding(Verdict.NOTE, subject, text)
    return Finding(Verdict.OK, subject, "lose nothing that was reported as ingested")


def migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        return Finding(Verdict.MEND, "migrations", f"{len(missing)} are missing; run `manage.py migrate`")
    return Finding(Verdict.OK, "migrations", "all are applied")


def catalog() -> Iterator[Finding]:
    """Check that the catalog files' feeds and KPIs are applied."""
    subject = "catalog"
    if reason := unapplied():
        yield Finding(Verdict.MEND, subject, reason.rstrip("."))
    elif DEFINITIONS:
        text = f"{len(DECLARED_FEEDS):,} feeds and {len(DECLARED_KPIS):,} KPIs are applied"
        yield Finding(Verdict.OK, subject, text)


def days() -> Iterator[Finding]:
    """Check that the stored days, weeks and months are those of TIME_ZONE."""
    if reason := zone_problem():
        yield Finding(Verdict.MEND, "days, weeks and months", reason)


def references() -> Iterator[Finding]:
    """Check that the catalog files' references are loaded, and that there are no others."""
    loaded = set(Reference.objects.values_list("name", flat=True))
    if lacking := [name for name in REFERENCES if name not in loaded]:
        text = f"{', '.join(lacking)} never loaded: run `manage.py load_reference NAME FILE`"
        yield Finding(Verdict.NOTE, "references", text)
    if gone := sorted(loaded - REFERENCES.keys()):
        yield Finding(Verdict.NOTE, "references", f"{', '.join(gone)} loaded, and no longer in the catalog")
    if REFERENCES and not lacking and not gone:
        yield Finding(Verdict.OK, "references", f"{', '.join(REFERENCES)} loaded")


def lake() -> Finding:
    place: Address = settings.LAKE_DIR
    there = Folder(place).nearest() if isinstance(place, Path) else place
    try:
        check(lake_storage())
    except WrongLake as error:
        return Finding(Verdict.MEND, "lake", _one_line(error))
    except (LakeError, DatabaseError):
        # Another check reports why the place cannot be used, and one reports on the database.
        pass
    try:
        _lake_storage().check()
        free = shutil.disk_usage(there).free if isinstance(there, Path) else None
    except OSError as error:
        return Finding(Verdict.MEND, "lake", f"cannot be written in {there} ({error.strerror}); mend it or LAKE_DIR")
    if free is None:
        return Finding(Verdict.OK, "lake", f"{place} can be written")
    if free < LEAST_FREE_BYTES:
        return Finding(Verdict.MEND, "lake", f"{place} has {_gigabytes(free)} left; make room")
    made = "" if there == place else "the first run will make it; "
    return Finding(Verdict.OK, "lake", f"{place} can be written; {made}{_gigabytes(free)} left")


def _lake_storage() -> Storage:
    return storage_at(settings.LAKE_DIR, Path(tempfile.gettempdir()))


def staging() -> Finding:
    try:
        left = len(_lake_storage().names(STAGING))
    except OSError as error:
        return Finding(Verdict.NOTE, "staging", f"cannot be listed ({error.strerror})")
    if left:
        return Finding(Verdict.NOTE, "staging", f"{left} half-written; a run is under way, or the next one clears them")
    return Finding(Verdict.OK, "staging", "no leftovers")


def data_dir() -> Finding:
    place: Address = settings.DATA_DIR
    file_names = FileNames(settings.FEED_FILES)
    known = 0
    strange: list[str] = []
    unfinished: list[str] = []
    unreadable: list[str] = []
    try:
        for name in _names_in(place):
            if name.startswith("."):
                continue
            if file_names.unfinished(name):
                unfinished.append(name)
            elif file_names.feed_of(name) is None:
                strange.append(name)
            elif isinstance(place, Path) and not os.access(place / name, os.R_OK):
                unreadable.append(name)
            else:
                known += 1
    except OSError as error:
        return Finding(Verdict.MEND, "data folder", f"{place} cannot be listed ({error.strerror}); mend it or DATA_DIR")
    if unreadable:
        text = f"{len(unreadable):,} files cannot be read, such as {unreadable[0]!r}; give this user the right to"
        return Finding(Verdict.MEND, "data folder", text)
    if unfinished:
        text = (
            f"{len(unfinished):,} files are not read, as their names are those of unfinished files, such as "
            f"{unfinished[0]!r}; rename them when they are finished, or see FEED_FILES"
        )
        return Finding(Verdict.NOTE, "data folder", text)
    if strange:
        text = f"{len(strange):,} files are of no feed, such as {strange[0]!r}; rename them, or see FEED_FILES"
        return Finding(Verdict.NOTE, "data folder", text)
    return Finding(Verdict.OK, "data folder", f"{place} has {known:,} files of known feeds")


def _names_in(place: Address) -> Iterator[str]:
    if isinstance(place, BucketAddress):
        for page in bucket_at(place).pages():
            yield from (stored.key.rpartition("/")[2] for stored in page)
    else:
        yield from sorted(os.listdir(place))


def clocks(now: datetime) -> Finding:
    """Check that this host's clock (``now``), the database's and those of the hosts that wrote the rows agree."""
    subject = "clocks"
    database = dialect().host_time() or now
    apart = abs(now - database)
    if apart > CLOCKS_APART:
        than = "ahead of" if now > database else "behind"
        text = (
            f"this host's is {_seconds(apart)} {than} the database's; set both by NTP. Until then intervals close by "
            "the earlier of the two"
        )
        return Finding(Verdict.MEND, subject, text)
    what, moment = max(_newest_moments(), key=lambda found: found[1], default=("", now))
    if moment - now > CLOCKS_APART:
        text = (
            f"{what} is {_seconds(moment - now)} ahead of this host's: another host's clock was ahead, or this one is "
            "behind; set them by NTP. What was closed ahead of the clock is reopened by the next run"
        )
        return Finding(Verdict.MEND, subject, text)
    waiting = Batch.objects.filter(read_again_at__isnull=False).order_by("read_again_at")
    first = waiting.first()
    if first is not None and first.read_again_at is not None:
        text = (
            f"{waiting.count():,} files have rows too far ahead of them, such as {first.name!r}, which is read again "
            f"from {to_text(first.read_again_at)} on"
        )
        return Finding(Verdict.NOTE, subject, text)
    return Finding(Verdict.OK, subject, "agree")


def _newest_moments() -> Iterator[tuple[str, datetime]]:
    """Yield the newest time stamps in the database, each with a name: no clock may be behind them."""
    columns = Run.objects.aggregate(Max("started_at")), Batch.objects.aggregate(Max("ingested_at"))
    for what, found in zip(("the start of a run", "the ingestion of a batch"), columns, strict=True):
        yield from ((what, moment) for moment in found.values() if moment is not None)
    for mark in Watermark.objects.filter(feed__in=FEEDS):
        if mark.newest_interval_end is not None:
            start = mark.newest_interval_end - FEEDS[mark.feed].interval.delta
            yield f"the newest interval of {mark.feed}", start
        if mark.closed_until is not None:
            yield f"the closing of {mark.feed}", mark.closed_until


def _seconds(span: timedelta) -> str:
    """Format a duration, to the second: ``1 day, 2:03:04``."""
    return str(timedelta(seconds=round(span.total_seconds())))


def last_run(now: datetime) -> Finding:
    last = Run.objects.exclude(command__startswith=Run.PRUNE).first()
    subject = "last run"
    if last is None:
        return Finding(Verdict.MEND, subject, f"there was none; run `manage.py {COMMAND}`, then see crontab.example")
    since = f"started at {last.started_at:%Y-%m-%d %H:%M:%S}Z"
    if last.outcome == Run.Outcome.BROKEN:
        reason = _one_line(last.traceback.strip().rpartition("\n")[2])
        return Finding(Verdict.MEND, subject, f"{since} and failed ({reason}); the admin has its traceback")
    if now - last.started_at > LONGEST_PAUSE:
        return Finding(Verdict.MEND, subject, f"{since}, longer ago than {LONGEST_PAUSE}; see to the schedule")
    if last.outcome == Run.Outcome.INCOMPLETE:
        text = f"{since}, {last.failed_batches:,} files failed; the admin's batches have the reasons"
        return Finding(Verdict.NOTE, subject, text)
    return Finding(Verdict.OK, subject, f"{since}, {last.get_outcome_display()}")


def crontab() -> Finding:
    """Check that this user's crontab runs the command; another scheduler may do so instead."""
    subject = "schedule"
    try:
        listed = subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return Finding(Verdict.NOTE, subject, "there is no crontab to look at")
    entries = [line for line in listed.stdout.splitlines() if COMMAND in line and not line.lstrip().startswith("#")]
    if entries:
        return Finding(Verdict.OK, subject, "this user's crontab runs the command")
    return Finding(Verdict.NOTE, subject, "this user's crontab does not run the command; see crontab.example")


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB"


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
