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

LISTS = {"": "requirements.txt", "spark": "requirements-spark.txt"}


class Requirements(MetadataHookInterface):
    """Dependencies and extras, as the requirements files list them."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Adds them to the metadata."""
        found: dict[str, list[str]] = {}
        for extra, name in LISTS.items():
            for section, requirements in sections(Path(self.root, name).read_text(), extra).items():
                found.setdefault(section, []).extend(requirements)
        metadata["dependencies"] = found.pop("")
        metadata["optional-dependencies"] = found


class Scanner(BuildHookInterface):
    """Compiles the scanner into the wheel where there is a C compiler; without one the wheel is built all the same."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the library to what is packed, and the platform to the wheel's name."""
        if self.target_name != "wheel" or version == "editable":
            return
        try:
            library = compiled(Path(self.root)).build()
        except (RuntimeError, OSError) as error:
            self.app.display_warning(f"The wheel has no compiled scanner: {error}")
            return
        build_data["force_include"][str(library)] = str(library.relative_to(self.root))
        # The library is C alone: any Python of the platform can load it.
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{re.sub('[-.]', '_', sysconfig.get_platform())}"


def sections(text: str, extra: str = "") -> dict[str, list[str]]:
    """The requirements of a list by extra, those before the first line "# Extra NAME" under ``extra``."""
    found: dict[str, list[str]] = {extra: []}
    for line in text.splitlines():
        if heading := re.match(r"# Extra (\w+)", line):
            extra = heading[1]
        elif requirement := re.sub(r"(^|\s)#.*", "", line).strip():
            found.setdefault(extra, []).append(requirement)
    return found


def compiled(root: Path) -> ModuleType:
    """The module that compiles the scanner, without the packages that the rest of the engine imports."""
    spec = importlib.util.spec_from_file_location("compiled", root / "kpis" / "engine" / "compiled.py")
    if spec is None or spec.loader is None:
        raise ImportError("kpis/engine/compiled.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
