"""Vega for browsers: one script, made from the copy inside vl-convert, without Node and without a CDN.

The site's Content-Security-Policy has no ``unsafe-eval``, and Vega by itself compiles its expressions with ``new
Function``. vega-embed has Vega's interpreter built in and uses it with ``ast: true`` (see ``console.js``): slightly
slower, but without compiled code. So the policy stays strict, and no other charting library is needed.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

# Its path among the static files; a new version of the package has a new name, so that clients may cache it for long.
BUNDLE = f"console/vega-{version('vl-convert-python')}.js"
COMPRESSED = f"{BUNDLE}.gz"


class BundleFinder(BaseFinder):
    """Finds the bundle, and makes it at the first request, which takes two seconds."""

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, FileSystemStorage]]:
        storage = FileSystemStorage(location=bundle_folder())
        yield BUNDLE, storage
        yield COMPRESSED, storage

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        """Return the file's path; an empty list for other files."""
        if path not in (BUNDLE, COMPRESSED):
            return []
        found = str(bundle_folder() / path)
        return [found] if find_all else found


@cache
def bundle_folder() -> Path:
    """Return the folder with the bundle and its compressed twin; make them if they are missing."""
    folder = Path(settings.BUILT_DIR)
    if not (folder / COMPRESSED).exists():
        # Imported here, since few processes need it.
        import vl_convert

        script = vl_convert.javascript_bundle().encode()  # type: ignore[call-arg]  # the snippet has a default
        _put(folder / BUNDLE, script)
        _put(folder / COMPRESSED, gzip.compress(script, mtime=0))
    return folder


def _put(path: Path, content: bytes) -> None:
    """Write a file that appears once it is complete, however many processes write it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as part:
        part.write(content)
    os.chmod(part.name, 0o644)
    os.replace(part.name, path)
