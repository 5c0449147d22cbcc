"""The lake: partials, rejects and records as Parquet files in one tree, a folder here or objects of a bucket.

A batch's partials lie at ``partials/<KPI>/year=/month=/day=/hour=/<key>.<digest>.parquet``: the key names the batch
and its content, and the digest is the first 16 hex digits of the file's BLAKE3. The lake does not say which files
count: the ledger does, with each file's whole digest and its size, and readers pass what it says. So a file that lies
here before its batch is in the ledger, or after the batch was replaced, is never counted, and one that is missing or
is not what was written is noticed when it is read (``verify``).

Nothing appears half-written: a batch's files are written aside, and then put into place, each whole or not at all: in
a folder they are renamed, in a bucket an object appears when the store has all of it. Beforehand
``staging/<key>/plan.json`` says which files will appear and which the batch replaces, so that the next run can tell
from the ledger which of them to remove after a broken one. Files and folders are on the disk before the ledger counts
on them, and what was replaced is removed only afterwards: after a power cut, all that the ledger counts on is there.

A closed hour's partials of a KPI are compacted to one file, ``compacted-<digest of the keys>.<digest>.parquet``, whose
``batch`` column and metadata tell whose rows it holds; a batch's own file, where there is one, goes before.

``lake.json`` in the root says which database the lake belongs to (``identity``). Files of version 0.1.0 have names
without a digest and are taken over by ``adoption``.
"""

from kpis.lake.errors import Damage, DamagedFile, LakeError, WrongLake, translate_errors
from kpis.lake.identity import Identity, read_identity, write_identity
from kpis.lake.lake import Counted, FileLedger, Lake, PartialFile, counted_with
from kpis.lake.layout import HOUR_FOLDERS, STAGING, LakeFile, archived_columns
from kpis.lake.staging import Staging
from kpis.lake.verify import Expected, Verify

__all__ = [
    "HOUR_FOLDERS",
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
    "Staging",
    "Verify",
    "WrongLake",
    "archived_columns",
    "counted_with",
    "read_identity",
    "translate_errors",
    "write_identity",
]
