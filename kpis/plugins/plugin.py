"""The description of a plug-in: the hooks by which a package adds to the system.

A plug-in is a Python package whose module ``plugin`` has a ``Plugin`` named ``PLUGIN``. What it adds is named by its
place, ``package.module:name``, and imported when it is first needed, so that a plug-in that is not used costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

# The version of the hooks. It rises when a hook is added or changed; a plug-in names the version that it is written
# for. Plug-ins for the versions from OLDEST_HOOKS on can be used.
HOOKS = 1
OLDEST_HOOKS = 1

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
PLACE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
PAGE_PATH = re.compile(r"([a-z0-9_-]+/)*")
# The names that the system's own source and engine have.
BUILT_IN = {"source": "kafka", "engine": "local"}


@dataclass(frozen=True)
class Page:
    """A page of the console, at ``/plugins/<plug-in's name>/<path>`` and with an entry in the menu.

    ``path`` is "" or ends with a slash. ``view`` is the place of a Django view, called with the request. Only accounts
    that may view personal data see a ``personal`` page.
    """

    title: str
    path: str
    view: str
    personal: bool = False


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """What a plug-in is and adds. All but ``name``, ``description`` and ``hooks`` may be left out.

    - ``name``: a short name of lower-case letters, digits and underscores, unique among plug-ins;
    - ``description``: what it adds, in a line;
    - ``hooks``: the version of the hooks that it is written for;
    - ``settings``: a module with ``network_analysis.environment.Group`` objects; its upper-case names become settings;
    - ``catalog_files``: paths of catalog files, relative to the package;
    - ``formats`` and ``measures``: places of formats and measures, by the names that catalog files use;
    - ``sources``: places of the streams that ``consume_stream --source`` can read, by name;
    - ``engines``: places of the engines that ``--engine`` can choose, by name;
    - ``pages``: pages of the console.

    The package is also a Django app: its commands, models, migrations, templates and static files are found by Django.
    """

    name: str
    description: str
    hooks: int
    settings: str = ""
    catalog_files: tuple[str, ...] = ()
    formats: Mapping[str, str] = field(default_factory=dict)
    measures: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    engines: Mapping[str, str] = field(default_factory=dict)
    pages: tuple[Page, ...] = ()

    @property
    def places(self) -> Iterator[str]:
        """The places of all that it adds."""
        for named in (self.formats, self.measures, self.sources, self.engines):
            yield from named.values()
        yield from (page.view for page in self.pages)

    @property
    def adds(self) -> str:
        """What it adds, in words: ``source kinesis; page Cells``."""
        kinds = {
            "catalog file": self.catalog_files,
            "format": self.formats,
            "measure": self.measures,
            "source": self.sources,
            "engine": self.engines,
            "page": [page.title for page in self.pages],
        }
        return "; ".join(
            f"{kind}{'s' if len(names) > 1 else ''} {', '.join(names)}" for kind, names in kinds.items() if names
        )

    def flaws(self) -> Iterator[str]:
        """Yield the reasons why it cannot be used; raises TypeError or AttributeError for values of other types."""
        if not OLDEST_HOOKS <= self.hooks <= HOOKS:
            yield (
                f"is written for version {self.hooks} of the hooks, and this is version {HOOKS}: "
                f"update {'network-analysis' if self.hooks > HOOKS else 'the plug-in'}"
            )
            return
        if not NAME.fullmatch(self.name):
            yield f"has the name {self.name!r}: use lower-case letters, digits and single underscores"
        for named in (self.formats, self.measures, self.sources, self.engines):
            yield from (f"adds {name!r}: use lower-case letters" for name in named if not NAME.fullmatch(name))
        for kind, name in BUILT_IN.items():
            if name in getattr(self, f"{kind}s"):
                yield f"adds the {kind} {name}, which is built in: give it another name"
        for name in ("catalog_files", "pages"):
            if isinstance(getattr(self, name), str):
                yield f"has {name} = {getattr(self, name)!r}, which must be a tuple"
                return
        yield from (f"has {place!r}, which is not like package.module:name" for place in self._wrong_places())
        for path in self.catalog_files:
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                yield f"has the catalog file {path!r}, which is not within its package"
        paths = [page.path for page in self.pages]
        yield from (f"has two pages at {path!r}" for path in sorted(set(paths)) if paths.count(path) > 1)
        for page in self.pages:
            if not PAGE_PATH.fullmatch(page.path):
                yield f"has a page at {page.path!r}: use lower-case letters and digits, with a slash at the end"

    def _wrong_places(self) -> Iterator[str]:
        return (place for place in self.places if not PLACE.fullmatch(place))
