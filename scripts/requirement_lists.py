"""The requirements files: their lists, and the locked versions of these.

``python scripts/requirement_lists.py NAME ...`` prints the lock file's lines of lists: ``base``, an extra, ``dev`` or
``bench``, or one package as ``=PACKAGE``; as pip and uv read it, with hashes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = {
    "base": "requirements.txt",
    "spark": "requirements-spark.txt",
    "dev": "requirements-dev.txt",
    "bench": "benchmarks/requirements.txt",
}


def sections(text: str, first: str) -> dict[str, list[str]]:
    """Return the requirements of a file by extra; those before its first line "# Extra NAME" under ``first``."""
    found: dict[str, list[str]] = {first: []}
    name = first
    for line in text.splitlines():
        if heading := re.match(r"# Extra (\w+)", line):
            name = heading[1]
        elif (requirement := re.sub(r"(^|\s)#.*", "", line).strip()) and not requirement.startswith("-"):
            found.setdefault(name, []).append(requirement)
    return found


def package(requirement: str) -> str:
    """Return the normalized name that a requirement begins with; raises ValueError if it begins with none."""
    found = re.match(r"[\w.-]+", requirement)
    if not found:
        raise ValueError(f"{requirement!r} begins with no package's name")
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def locked(names: list[str]) -> str:
    """Return the lock file's lines of lists and packages; raises KeyError for one that is unknown or not locked."""
    known: dict[str, list[str]] = {}
    for first, file in LISTS.items():
        known |= sections((ROOT / file).read_text(), first)
    blocks: dict[str, str] = {}
    for block in re.findall(r"^\w.*\n(?:[ #].*\n)*", (ROOT / "requirements.lock").read_text(), re.MULTILINE):
        blocks[package(block)] = blocks.get(package(block), "") + block
    wanted = [one for name in names for one in ([name[1:]] if name.startswith("=") else known[name])]
    return "".join(_with_extras(one, blocks[package(one)]) for one in wanted)


def _with_extras(requirement: str, block: str) -> str:
    """Add the extras that a requirement names to a package's lines in the lock file, which has none."""
    found = re.match(r"[\w.-]+(\[[\w,-]+\])", requirement)
    extras = found[1] if found else ""
    return re.sub(r"^([\w.-]+)==", rf"\g<1>{extras}==", block, flags=re.MULTILINE)


if __name__ == "__main__":
    try:
        sys.stdout.write(locked(sys.argv[1:]))
    except KeyError as error:
        sys.exit(f"requirements.lock has no {error}: see requirements*.txt, or run make lock.")
