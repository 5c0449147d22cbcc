"""What the build backend (hatchling) is told by code: the requirements, and the compiled scanner for the wheel."""

from __future__ import annotations

import importlib.util
import re
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface


class Requirements(MetadataHookInterface):
    """Dependencies and extras, as the requirements files list them."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Adds them to the metadata."""
        lists = load(Path(self.root, "scripts", "requirement_lists.py"))
        found: dict[str, list[str]] = {}
        for first in ("base", "spark"):
            found |= lists.sections(Path(self.root, lists.LISTS[first]).read_text(), first)
        metadata["dependencies"] = found.pop("base")
        metadata["optional-dependencies"] = found


class Scanner(BuildHookInterface):
    """Compiles the scanner into the wheel where there is a C compiler; without one the wheel is built all the same."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the library to what is packed, and the platform to the wheel's name."""
        if self.target_name != "wheel" or version == "editable":
            return
        try:
            library = load(Path(self.root, "kpis", "engine", "compiled.py")).build()
        except (RuntimeError, OSError) as error:
            self.app.display_warning(f"The wheel has no compiled scanner: {error}")
            return
        build_data["force_include"][str(library)] = str(library.relative_to(self.root))
        # The library is C alone: any Python of the platform can load it.
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{re.sub('[-.]', '_', sysconfig.get_platform())}"


def load(path: Path) -> ModuleType:
    """A module by its file, without the package that it is in, whose other modules need more than a build has."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
