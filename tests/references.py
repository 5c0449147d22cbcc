"""References of a test's own: in the registry until the test ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from kpis.catalog import registry
from kpis.catalog.file.load import Catalog, parsed
from kpis.catalog.file.source import parse

CELL = """\
[references.cell]
description = "Cells with their site and vendor"
of = ["ipflow.cell_id"]
key = "cell"
name = "title"
place = ["latitude", "longitude"]

[references.cell.columns]
cell = {type = "integer", minimum = 1, header = ["cell", "Cell Id"]}
title = {type = "text", optional = true}
site = {type = "text", optional = true, longest = 20}
vendor = {type = "choice", words = ["Ericsson", "Nokia"], optional = true}
azimuth = {type = "integer", maximum = 359, optional = true}
height = {type = "decimal", minimum = 0, maximum = 500, optional = true}
installed = {type = "date", optional = true}
latitude = {type = "decimal", minimum = -90, maximum = 90, optional = true}
longitude = {type = "decimal", minimum = -180, maximum = 180, optional = true}
"""

OPERATOR = """\
[references.operator]
description = "Operators with their groups"
of = ["coverage.operator"]
key = "operator"
name = "alias"
ignore_case = true

[references.operator.columns]
operator = {type = "text", longest = 80}
alias = {type = "text", longest = 40}
"""


@contextmanager
def referenced(*texts: str) -> Iterator[Catalog]:
    """Add the references of catalog files with these texts to the registry; give all that the files declare."""
    sources = [parse(text.encode(), Path(f"{number}.toml")) for number, text in enumerate(texts, 1)]
    catalog = parsed(sources, registry.FEEDS, registry.KPIS.values())
    with patch.dict(registry.REFERENCES, catalog.references):
        yield catalog
