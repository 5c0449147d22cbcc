"""Combine an hour's files of a KPI's partials: all of a closed hour's into one, or the small ones of an open hour."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import PurePosixPath

from blake3 import blake3

from kpis.catalog.kpis import KPI
from kpis.lake.lake import FileLedger, Lake, PartialFile
from kpis.lake.layout import COMPACTED, GROUP, LakeFile, partials_file, partials_folder
from kpis.lake.verify import Expected

# With more files of a KPI's partials in an hour than this, so many are joined.
MOST_FILES_AN_HOUR = 24
FILES_TO_JOIN = 16


def compact(lake: Lake, kpi: KPI, hour: datetime, keys: Collection[str], ledger: FileLedger) -> None:
    """Put an hour's partials of the batches with the keys into one file; does nothing if they are in one.

    ``hour`` is its start (UTC). Raises DamagedFile.
    """
    counted = list(ledger.files([partials_folder(kpi, hour)]))
    former = [file.path for file in counted]
    if len(former) > 1:
        files = lake.files(kpi, {hour: keys}, lambda _: counted)
        _combine(lake, kpi, hour, COMPACTED, keys, files, former, ledger)


def join(lake: Lake, kpi: KPI, hour: datetime, files: Collection[LakeFile], ledger: FileLedger) -> None:
    """Put the smallest of an hour's files of partials, which are all that count, into one if there are many.

    So each row is written again a few times, however many files there have been. Raises DamagedFile.
    """
    some = sorted(files, key=lambda file: (file.size, file.path))[:FILES_TO_JOIN]
    held = [{file.key} if file.key else lake.keys_in(file.path) for file in some]
    keys = set().union(*held)
    # Where a batch that was replaced is in two of them, compaction takes the rows of one.
    if len(files) > MOST_FILES_AN_HOUR and len(keys) == sum(map(len, held)):
        whole = {file.path: PartialFile(Expected.of(file)) for file in some}
        _combine(lake, kpi, hour, GROUP, keys, whole, list(whole), ledger)


def _combine(
    lake: Lake,
    kpi: KPI,
    hour: datetime,
    prefix: str,
    keys: Collection[str],
    files: Mapping[PurePosixPath, PartialFile],
    former: Collection[PurePosixPath],
    ledger: FileLedger,
) -> None:
    """Write the files' partials of the batches with the keys into one file, in the place of the former ones."""
    listed = ",".join(sorted(keys))
    staging = lake.stage(prefix + blake3(f"{kpi.name} {hour:%Y%m%d%H} {listed}".encode()).hexdigest()[:24])
    with lake.tables(files, compaction=prefix == COMPACTED) as tables:
        if tables:
            rows = " UNION ALL BY NAME ".join(f"FROM {table}" for table in tables)
            staging.add(partials_file(kpi, hour, staging.name), rows, listed)
    ledger.exchange_files(staging.publish(former), former)
    lake.finalize(staging.name, ledger)
