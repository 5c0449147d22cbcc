"""The lake: partials, rejects and records as Parquet files in one tree, a folder here or objects of a bucket.

Partials lie at ``partials/<KPI>/year=/month=/day=/hour=/<key>.<digest>.parquet``: the key names the batch and its
content, and the digest is the first 16 hex digits of the file's BLAKE3. The lake does not say which files count: the
ledger does, with each file's whole digest and its size, and readers pass what it says. So a file that lies here before
its batch is in the ledger, or after the batch was replaced, is never counted, and one that is missing or is not what
was written is noticed when it is read (``verify``).

No file is ever half-written: a batch's files are written aside, and then put into place. In a folder they are renamed;
in a bucket an object appears once the store has all of it. Before that, ``staging/<name>/plan.json`` lists the files
that will appear and those that the batch replaces, so that after an interrupted run the next one knows, by the ledger,
which of them to remove. Files and folders are on the disk before the ledger refers to them, and replaced files are
removed only afterwards: after a power cut, every file that the ledger refers to exists.

Batches that are committed together share a file, ``group-<digest of the keys>.<digest>.parquet``, for a KPI and hour
in which several of them have records. Its ``batch`` column and metadata name them. A closed hour's partials of a KPI
are compacted to one file of the same kind, ``compacted-<digest of the keys>.<digest>.parquet``. Such a file keeps the
rows of a batch that was replaced until the next compaction; they are not read, and a batch's own file takes precedence.
They share a file of rejects an hour too, which is written again when one of them is replaced. Archived records are one
file a batch and hour.

``lake.json`` in the root names the lake's database (``identity``). Files of version 0.1.0 have names without a digest
and are adopted by ``adoption``.
"""

from kpis.lake.errors import Damage, DamagedFile, LakeError, WrongLake, translate_errors
from kpis.lake.identity import Identity, read_identity, write_identity
from kpis.lake.lake import Counted, FileLedger, Lake, PartialFile, counted_with
from kpis.lake.layout import GROUP, HOUR_FOLDERS, OWN_COLUMNS, STAGING, LakeFile, archived_columns, by_time
from kpis.lake.staging import Rows, Staging
from kpis.lake.verify import Expected, Verify

__all__ = [
    "GROUP",
    "HOUR_FOLDERS",
    "OWN_COLUMNS",
    "STAGING",
    "Counted",
    "Damage",
    "DamagedFile",
    "Expected",
    "FileLedger",
    "Identity",
    "Lake",
    "LakeError",
    "LakeFile",
    "PartialFile",
    "Rows",
    "Staging",
    "Verify",
    "WrongLake",
    "archived_columns",
    "by_time",
    "counted_with",
    "read_identity",
    "translate_errors",
    "write_identity",
]
