"""The code that executors need, as a zip: of kpis, of this package and of all other plug-ins.

``python -m network_analysis_spark.code PATH`` writes it, with the plug-ins of the folder ``plugins``, of installed
distributions, and of PLUGINS.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from kpis.engine.compiled import SUFFIXES, library_path
from kpis.plugins import registry

# What executors import of kpis; none of it imports Django.
PACKAGES = ("catalog", "engine", "formats", "lake", "plugins", "sources", "stages", "storage")
MODULES = ("__init__.py", "clock.py", "extras.py", "pipeline.py")
EARLIEST_IN_A_ZIP = (1980, 1, 1, 0, 0, 0)


def write_zip(path: Path) -> Path:
    """Write the zip: the same bytes for the same code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.part")
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        folders: dict[str, None] = {}
        for name, file in _files():
            entry = zipfile.ZipInfo(name, EARLIEST_IN_A_ZIP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
            folders |= dict.fromkeys(f"{parent}/" for parent in list(PurePosixPath(name).parents)[:-1])
        # Python finds a package without __init__.py in a zip by its folder's entry alone.
        for folder in folders:
            archive.writestr(zipfile.ZipInfo(folder, EARLIEST_IN_A_ZIP), b"")
    written.replace(path)
    return path


def _files() -> Iterator[tuple[str, Path]]:
    """Yield the files, each with its name in the zip."""
    package = Path(registry.__file__).resolve().parents[1]
    files = [package / name for name in MODULES]
    for name in PACKAGES:
        files += [file for file in sorted((package / name).rglob("*")) if file.suffix in (".py", *SUFFIXES)]
    if library_path().exists():
        files.append(library_path())
    for file in files:
        yield str(file.relative_to(package.parent)), file
    # By name, since a plug-in may be within another's package.
    found: dict[str, Path] = {}
    for plugin in dict.fromkeys([__package__, *registry.PLUGINS]):
        place = PurePosixPath(plugin.replace(".", "/"))
        for folder in registry.folders_of(plugin):
            for file in sorted(folder.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    found.setdefault(str(place / file.relative_to(folder)), file)
        for parent in list(place.parents)[:-1]:
            for folder in registry.folders_of(".".join(parent.parts)):
                if (folder / "__init__.py").is_file():
                    found.setdefault(str(parent / "__init__.py"), folder / "__init__.py")
    yield from found.items()


if __name__ == "__main__":
    registry.load(registry.find(Path("plugins"), os.environ.get("PLUGINS", "").replace(",", " ").split()))
    print(write_zip(Path(sys.argv[1])))  # noqa: T201
