"""Which of the files in the lake that the ledger does not refer to may take the place of a batch's lost file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kpis import pipeline
from kpis.catalog.registry import KPIS
from kpis.lake import Rows
from kpis.lake.survey import adoptable
from kpis.storage import Stored

KPI = KPIS[1]
START = datetime(2021, 7, 18, tzinfo=UTC)
OF_SEVERAL = f"group-{24 * '0'}"


@pytest.fixture
def lake(tmp_path):
    """A lake with a file of the batch ``a``, and one of the batches ``b`` and ``c``, in the same hour."""
    with pipeline.engine(tmp_path) as engine:
        for name, keys in (("a", ["a"]), (OF_SEVERAL, ["b", "c"])):
            staged = engine.lake.stage(name)
            rows = " UNION ALL ".join(
                f"SELECT TIMESTAMP '2021-07-18' AS interval_start, 1 AS service_id, 5 AS sum, '{key}' AS batch"
                for key in keys
            )
            staged.add_partials(KPI, [Rows(rows)], {START: keys})
            staged.publish([])
        yield engine.lake


def orphans(tmp_path: Path) -> tuple[Path, dict[str, Stored]]:
    (folder,) = {path.parent for path in tmp_path.glob("partials/**/*.parquet")}
    return folder, {path.name: Stored(path.stat().st_size) for path in folder.iterdir()}


@pytest.mark.parametrize(("key", "prefix"), [("a", "a."), ("b", f"{OF_SEVERAL}."), ("c", f"{OF_SEVERAL}."), ("d", "")])
def test_a_file_with_the_batchs_rows_is_found(lake, tmp_path, key, prefix):
    folder, found = orphans(tmp_path)
    adopted = adoptable(lake, folder.relative_to(tmp_path), found, key)
    if not prefix:
        assert adopted is None
        return
    name, digest = adopted
    assert name.startswith(prefix)
    assert name.split(".")[1] == digest[:16]


def test_a_file_that_is_not_what_its_name_says_is_left_alone(lake, tmp_path):
    folder, found = orphans(tmp_path)
    for name in found:
        (folder / name).write_bytes((folder / name).read_bytes() + b"more")
    assert [adoptable(lake, folder.relative_to(tmp_path), found, key) for key in "abc"] == [None] * 3


def test_a_file_of_0_1_0_has_no_digest_in_its_name_and_is_left_alone(lake, tmp_path):
    folder, found = orphans(tmp_path)
    for name in list(found):
        (folder / name).rename(folder / f"{name.split('.')[0]}.parquet")
        found[f"{name.split('.')[0]}.parquet"] = found.pop(name)
    assert [adoptable(lake, folder.relative_to(tmp_path), found, key) for key in "abc"] == [None] * 3
