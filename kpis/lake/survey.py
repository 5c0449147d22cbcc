"""A survey of the lake: its files compared with those that the ledger refers to, in one listing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from kpis.lake.errors import translate_errors
from kpis.lake.lake import Lake
from kpis.lake.layout import COMPACTED, DIGEST_DIGITS, GROUP, LakeFile
from kpis.storage import Stored

# All folders of the tree with files that count.
TABLES = (PurePosixPath("partials"), PurePosixPath("rejects"), PurePosixPath("records"))
DIGESTED_AT_ONCE = 64
MISSING = "is missing"

# Called with the number of checked files, and of all files.
Progress = Callable[[int, int], None]


@dataclass
class Survey:
    """The result: files that are as the ledger has them, bad files with the reason, and all others."""

    healthy: dict[PurePosixPath, list[LakeFile]] = field(default_factory=lambda: defaultdict(list))
    bad: dict[LakeFile, str] = field(default_factory=dict)
    orphans: dict[PurePosixPath, dict[str, Stored]] = field(default_factory=lambda: defaultdict(dict))


def survey(lake: Lake, counted: Iterable[LakeFile], digested: bool, progress: Progress) -> Survey:
    """Compare the tree with the files that count, by their sizes and (``digested``) by their digests.

    A bucket's object with the etag that the ledger knows is not read for that. Raises LakeError.
    """
    found = Survey()
    there: dict[PurePosixPath, Stored] = {}
    for table in TABLES:
        with translate_errors(lake.storage.url(table)):
            there |= dict(lake.storage.files(table))
    to_digest: list[LakeFile] = []
    for file in counted:
        stored = there.pop(file.path, None)
        if stored is None:
            found.bad[file] = MISSING
        elif stored.size != file.size:
            found.bad[file] = f"has {stored.size:,} bytes instead of {file.size:,}"
        elif digested and file.digest and not (stored.etag and stored.etag == file.etag):
            to_digest.append(file)
        else:
            found.healthy[file.path.parent].append(file)
    for start in range(0, len(to_digest), DIGESTED_AT_ONCE):
        some = to_digest[start : start + DIGESTED_AT_ONCE]
        digests = dict(lake.verifier.digests([file.path for file in some]))
        for file in some:
            if digests.get(file.path) == file.digest:
                found.healthy[file.path.parent].append(file)
            else:
                found.bad[file] = "is not what was written" if file.path in digests else "cannot be read"
        progress(start + len(some), len(to_digest))
    for path, stored in there.items():
        found.orphans[path.parent][path.name] = stored
    return found


def adoptable(lake: Lake, folder: PurePosixPath, orphans: dict[str, Stored], key: str) -> tuple[str, str] | None:
    """Return the name and digest of an orphan in a folder that has a batch's rows and the digest in its name.

    A batch's own file takes precedence over one of several batches. None if there is none.
    """
    own = [name for name in orphans if name.startswith(f"{key}.")]
    several = [name for name in orphans if name.startswith((GROUP, COMPACTED))]
    for name in [*own, *several]:
        path = folder / name
        digits = PurePosixPath(path.stem).suffix.removeprefix(".")
        if len(digits) != DIGEST_DIGITS:
            continue
        digest = dict(lake.verifier.digests([path])).get(path, "")
        if digest.startswith(digits) and (name in own or key in lake.keys_in(path)):
            return name, digest
    return None
