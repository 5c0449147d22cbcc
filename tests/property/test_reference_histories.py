"""After any files and loads, in any order, KPIs by attributes have the values of a plain-Python twin.

Hypothesis makes up histories of files with IP flows, of loads of cells (histories and states, whole and partial, of the
past and of the future), of runs, of runs that die, and of rebuilds. After each run the tables have what the files and
versions of that moment give. A load alone revises exactly the intervals whose figures it changes, with its reason.

``REFERENCE_HISTORIES`` sets how many are tried (6 by default, 200 with ``LONG=1``).
"""

from __future__ import annotations

import io
import shutil
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from django.core.management import call_command
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from kpis import clock
from kpis.catalog.intervals import EPOCH, FIVE_MINUTES, ONE_HOUR, to_text
from kpis.models import (
    Batch,
    BatchInterval,
    DueReference,
    DueRollup,
    IntervalSummary,
    KPIResult,
    LakeBinding,
    LakeFile,
    Reference,
    ReferenceVersion,
    Reject,
    Run,
    Watermark,
)
from kpis.models.result_models import RESULT_MODELS, result_model
from kpis.store import ledger as store_ledger
from kpis.store import references as store_references
from kpis.store.ledger import DatabaseLedger
from tests.catalogs import declared
from tests.deaths import Death, dying
from tests.effort import times
from tests.property.test_histories import tried
from tests.references import referenced
from tests.twin import Flow, file_text, moment

pytestmark = pytest.mark.django_db(transaction=True)

HISTORIES = times("REFERENCE_HISTORIES", 6, 200)
START = 1626566400  # 2021-07-18T00:00:00Z
HOUR, DAY = 3600, 86400
CATALOG = """\
[references.cells]
description = "Cells"
key = "cell_id"
[references.cells.columns]
cell_id = {type = "integer"}
region = {type = "text", longest = 20, optional = true}
vendor = {type = "text", longest = 20, optional = true}

[kpis.RegionUsers]
id = 1001
description = "Unique users by region"
feed = "ipflow"
by = ["cell_id.region"]
measure = {type = "count_distinct", name = "users", column = "msisdn"}
unit = "users"

[kpis.PlaceVolume]
id = 1002
description = "Bytes by region, vendor and service"
feed = "ipflow"
by = ["cell_id.region", "service_id", "cell_id.vendor"]
measure = {type = "sum", name = "bytes", columns = ["bytes_uplink", "bytes_downlink"]}
unit = "bytes"

[kpis.RegionShare]
id = 1003
description = "The share of bytes that go up, by region"
feed = "ipflow"
by = ["cell_id.region"]
measure = {type = "ratio", name = "share", numerator = "up", denominator = "up + down", terms = [
    {name = "up", columns = ["bytes_uplink"]},
    {name = "down", columns = ["bytes_downlink"]},
]}
unit = "share"
filter = "service_id <> 2"
"""
DEATHS = {
    "before the references are written": (store_references, "_write", "before"),
    "before what is due is marked": (store_references, "mark_references_due", "before"),
    "after what is due is marked": (store_references, "mark_references_due", "after"),
    "before the revisions": (DatabaseLedger, "commit_references", "before"),
    "after the revisions": (DatabaseLedger, "commit_references", "after"),
    "after a batch's results": (store_ledger, "replace_results", "after"),
    "before a rollup": (DatabaseLedger, "commit_rollup", "before"),
}
CELLS = (1, 2, 3, 4)
NAMES = ("", "N", "S")
# By cell: (from, to, region, vendor) in Unix seconds, by time.
Versions = dict[int, list[tuple[float, float, str, str]]]

flows = st.builds(
    Flow,
    st.integers(0, 35).map(lambda number: START + number * 300),
    st.integers(1, 5),
    st.integers(0, 3),
    st.integers(0, 3),
    service=st.integers(1, 2),
    cell=st.sampled_from((*CELLS, 9)),
)
# Some of them within an interval.
times_of_versions = st.integers(-2, 80).map(lambda number: START + number * 150)
names = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))


@st.composite
def histories(draw) -> list[tuple]:
    rows = []
    for cell in draw(st.sets(st.sampled_from(CELLS), min_size=1)):
        edges = sorted(draw(st.sets(times_of_versions, min_size=1, max_size=4)))
        for since, until in zip([None, *edges], [*edges, None], strict=True):
            if draw(st.integers(0, 3)):
                rows.append((cell, since, until, *draw(names)))
    return rows


states = st.tuples(st.dictionaries(st.sampled_from(CELLS), names, min_size=1), times_of_versions)


def named_at(versions: Versions, cell: int, second: int) -> tuple[str, str]:
    found = [one[2:] for one in versions.get(cell, ()) if one[0] <= second < one[1]]
    assert len(found) <= 1
    return found[0] if found else ("", "")


def held() -> Versions:
    """The versions that the database has."""
    found: Versions = defaultdict(list)
    for one in ReferenceVersion.objects.order_by("valid_from"):
        until = one.valid_to.timestamp() if one.valid_to else float("inf")
        attributes = one.attributes.get("region", ""), one.attributes.get("vendor", "")
        found[int(one.key)].append((one.valid_from.timestamp(), until, *attributes))
    return found


def expected(flows: list[Flow], versions: Versions, seconds: int) -> dict[tuple[int, int], list[tuple]]:
    """The rows by KPI and start, each group's values after its dimensions, in the order of their ranks."""
    spans: dict[int, list[tuple[Flow, str, str]]] = defaultdict(list)
    for flow in flows:
        spans[flow.start - flow.start % seconds].append((flow, *named_at(versions, flow.cell, flow.start)))
    found = {}
    for start, some in spans.items():
        users: dict = defaultdict(set)
        volume: dict = defaultdict(int)
        up: dict = defaultdict(int)
        both: dict = defaultdict(int)
        for flow, region, vendor in some:
            users[region,].add(flow.msisdn)
            volume[region, flow.service, vendor] += flow.uplink + flow.downlink
            if flow.service != 2:
                up[region,] += flow.uplink
                both[region,] += flow.uplink + flow.downlink
        shares = {group: up[group] / total if total else None for group, total in both.items()}
        found[1001, start] = ranked({group: len(numbers) for group, numbers in users.items()})
        found[1002, start] = ranked(volume)
        found[1003, start] = [(*row, up[row[:1]], both[row[:1]]) for row in ranked(shares)]
    return {key: rows for key, rows in found.items() if rows}


def ranked(values: dict) -> list[tuple]:
    order = sorted(values.items(), key=lambda one: (one[1] is None, -(one[1] or 0), one[0]))
    return [(*group, value) for group, value in order]


class Histories(RuleBasedStateMachine):
    """``files`` are the flows of each file that there is."""

    folder: Path
    kpis: dict

    @initialize(files=st.dictionaries(st.sampled_from("abc"), st.lists(flows, min_size=1, max_size=15), min_size=1))
    def begin(self, files):
        Batch.objects.exclude(duplicate_of=None).delete()
        results: list[type[KPIResult]] = list(RESULT_MODELS.values())
        for model in (
            *results,
            IntervalSummary,
            DueRollup,
            DueReference,
            Watermark,
            Reject,
            BatchInterval,
            Batch,
            LakeFile,
            LakeBinding,
            Run,
            ReferenceVersion,
            Reference,
        ):
            model.objects.all().delete()
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "data").mkdir(parents=True)
        self.files: dict[str, list[Flow]] = {}
        self.put(files)

    def put(self, files: dict[str, list[Flow]]) -> None:
        for name, some in files.items():
            (self.folder / "data" / f"ipflow_data.{name}.csv").write_text(file_text(some))
            self.files[name] = some

    @rule(files=st.dictionaries(st.sampled_from("abc"), st.lists(flows, min_size=1, max_size=15), min_size=1))
    def files_come(self, files):
        self.put(files)
        self.run()

    @rule(rows=histories(), is_partial=st.booleans(), is_run=st.booleans())
    def a_history_is_loaded(self, rows, is_partial, is_run):
        lines = [f"{cell},{text(since)},{text(until)},{region},{vendor}" for cell, since, until, region, vendor in rows]
        self.load(["cell_id,valid_from,valid_to,region,vendor", *lines], is_run, partial=is_partial)

    @rule(state=states, is_partial=st.booleans(), is_run=st.booleans())
    def a_state_is_loaded(self, state, is_partial, is_run):
        cells, since = state
        lines = [f"{cell},{region},{vendor}" for cell, (region, vendor) in cells.items()]
        self.load(["cell_id,region,vendor", *lines], is_run, partial=is_partial, as_of=moment(since))

    @rule(start=st.integers(0, 35), length=st.integers(1, 36))
    def results_are_rebuilt(self, start, length):
        self.command("update_network_stats", rebuild=[moment(START + n * 300) for n in (start, start + length)])

    @rule(point=st.sampled_from(sorted(DEATHS)), turn=st.integers(0, 2), rows=histories())
    def a_load_or_a_run_dies(self, point, turn, rows):
        lines = [f"{cell},{text(since)},{text(until)},{region},{vendor}" for cell, since, until, region, vendor in rows]
        with dying(*DEATHS[point], turn), suppress(Death):
            self.load(["cell_id,valid_from,valid_to,region,vendor", *lines], is_run=True)
        self.run()

    def load(self, lines: list[str], is_run: bool, **options) -> None:
        """Load a file; where a run follows, check that it revises what changes and nothing else."""
        if is_run:
            self.run()
        before = self.stored()
        path = self.folder / "cells.csv"
        path.write_text("\n".join(lines) + "\n")
        self.command("load_reference", "cells", str(path), **options)
        if is_run:
            self.run()
            for key, (rows, revision, _) in self.stored().items():
                was, revision_before, reason_before = before[key]
                if rows == was:
                    assert (revision, self.stored()[key][2]) == (revision_before, reason_before)
                else:
                    reason = "cells.csv changed the reference cells"
                    assert (revision, self.stored()[key][2]) == (revision_before + 1, reason)

    def command(self, *arguments: str, **options) -> None:
        with patch.object(clock, "now", lambda: moment(START + 3 * DAY)):
            call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO(), **options)

    def run(self) -> None:
        self.command("update_network_stats")
        self.check()

    def stored(self) -> dict[tuple[int, int, int], tuple[list[tuple], int, str]]:
        """By KPI, length and start: the rows in the order of their ranks, the revision and the reason."""
        rows: dict = defaultdict(list)
        for kpi in self.kpis.values():
            columns = ("interval", "interval_start_timestamp", *kpi.columns)
            for code, start, *row in result_model(kpi).objects.order_by("rank").values_list(*columns):
                rows[kpi.id, code, round(start.timestamp())].append(tuple(row))
        return {
            key: (rows[key], one.revision, one.reason)
            for one in IntervalSummary.objects.filter(kpi__in=self.kpis)
            for key in [(one.kpi, one.interval, round(one.interval_start_timestamp.timestamp()))]
        }

    def check(self) -> None:
        # The same content under two names counts once.
        flows = [flow for content in {tuple(some) for some in self.files.values()} for flow in content]
        versions, until = held(), Watermark.objects.get(feed="ipflow").closed_until.timestamp()
        found = {key: rows for key, (rows, _, _) in self.stored().items() if rows}
        wanted = {
            (kpi, length.code, start): rows
            for length in (FIVE_MINUTES, ONE_HOUR)
            for (kpi, start), rows in expected(flows, versions, length.minutes * 60).items()
            if length == FIVE_MINUTES or start + HOUR <= until or (kpi, length.code, start) in found
        }
        assert found == wanted
        assert not DueReference.objects.exists()

    def teardown(self):
        if hasattr(self, "files"):
            self.run()


def text(second: int | None) -> str:
    return "" if second is None else to_text(moment(second))


def test_any_history_ends_in_the_tables_of_its_files_and_versions(tmp_path, settings):
    settings.DATA_DIR, settings.LAKE_DIR = tmp_path / "history" / "data", tmp_path / "history" / "lake"
    Histories.folder = tmp_path / "history"
    with referenced(CATALOG) as catalog, declared(kpis=catalog.kpis.values()):
        Histories.kpis = dict(catalog.kpis)
        run_state_machine_as_test(Histories, settings=tried(HISTORIES))


def test_the_twin_counts_by_the_version_of_the_time():
    versions: Versions = {1: [(EPOCH.timestamp(), START + 300, "N", "a"), (START + 300, float("inf"), "S", "a")]}
    flows = [Flow(START, 1, 1, 1, 1, 1), Flow(START + 300, 1, 2, 0, 1, 1), Flow(START, 2, 0, 1, 1, 7)]
    assert expected(flows, versions, 3600) == {
        (1001, START): [("", 1), ("N", 1), ("S", 1)],
        (1002, START): [("N", 1, "a", 2), ("S", 1, "a", 2), ("", 1, "", 1)],
        (1003, START): [("S", 1.0, 2, 2), ("N", 0.5, 1, 2), ("", 0.0, 0, 1)],
    }
