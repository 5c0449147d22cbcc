"""The feed of a file by its name, and whether the file is finished."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate

from kpis.catalog.feeds import Feed
from kpis.catalog.registry import FEED_FILES, FEEDS

PACKED_ENDINGS = (".gz", ".zst")


class FileNames:
    """Decides by a file's name which feed it belongs to, and whether it is finished.

    ``feed_files`` maps patterns (as in a shell) to feeds' names; the first that fits decides. A pattern that ends in
    ``*`` accepts names that end as the feed's files do (in any case); any other accepts only what it says. Both also
    accept a name with ``.gz`` or ``.zst`` after it, unless the feed's format packs its data itself. A name that fits
    except for its end is that of an unfinished file, such as ``NAME.csv.inprogress``; one that begins with a dot
    belongs to no feed.
    """

    def __init__(self, feed_files: Mapping[str, str] = FEED_FILES):
        self._feeds = [FEEDS[feed] for feed in feed_files.values()]
        # One expression for all patterns: a folder may hold hundreds of thousands of files.
        self._finished = _any_of(_finished(pattern, FEEDS[feed]) for pattern, feed in feed_files.items())
        self._begun = _any_of(translate(pattern.rstrip("*") + "*") for pattern in feed_files)

    def feed_of(self, file_name: str) -> Feed | None:
        """Return the feed of a finished file by its name; None if it belongs to none or is unfinished."""
        return self._feed(self._finished, file_name)

    def unfinished(self, file_name: str) -> Feed | None:
        """Return the feed of an unfinished file by its name; None if it is finished or belongs to none."""
        return None if self.feed_of(file_name) else self._feed(self._begun, file_name)

    def _feed(self, match: Callable[[str], re.Match[str] | None], file_name: str) -> Feed | None:
        found = None if file_name.startswith(".") else match(file_name)
        return self._feeds[found.lastindex - 1] if found and found.lastindex else None


def _any_of(expressions: Iterable[str]) -> Callable[[str], re.Match[str] | None]:
    """Return a pattern for any of the expressions; the match's last index is the expression's number, from 1."""
    return re.compile("|".join(f"({one})" for one in expressions)).match


def _finished(pattern: str, feed: Feed) -> str:
    """Return a regular expression, without groups, for the names of finished files."""
    packed_endings = PACKED_ENDINGS if feed.format.can_be_packed else ()
    if not pattern.endswith("*"):
        return "|".join(translate(pattern + packed) for packed in ("", *packed_endings))
    endings, packed = ("|".join(map(re.escape, some)) for some in (feed.endings, packed_endings))
    return rf"(?={translate(pattern)})(?si:.*(?:{endings})(?:{packed})?)\Z"


def feed_of(file_name: str, feed_files: Mapping[str, str] = FEED_FILES) -> Feed | None:
    """Return the feed of a finished file by its name, or None; see ``FileNames``."""
    return FileNames(feed_files).feed_of(file_name)
