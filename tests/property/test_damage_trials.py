"""Damage trials: whatever is lost, cut, flipped, swapped or restored, no figure is silently wrong.

A trial damages a copy of a lake, or puts an older lake or database back, runs over it with a further file, repairs, and
compares every table with the twin. ``LONG=1`` tries 250 instead of 12.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from kpis.models import Batch, IntervalSummary
from tests.effort import times
from tests.twin import Call, Flow, Log, Message, expected, file_text, stored
from tests.unit.lake.test_repair import FILES, LAST, START, repair

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="copies the database as a whole"),
]

TRIALS = times("DAMAGE_TRIALS", 8, 250)
LATE = {
    "ipflow_data.late.csv": [Flow(START, 9, 1000, 0, service=9, cell=9), Flow(START + 3600, 9, 5, 0, 9, 9)],
    "antenna_data.late.jsonl": [Message(START + 7, device=5, antenna=1, bytes=9, app="SKYPE")],
}
ALL = FILES | LAST | LATE


def update() -> str:
    """Runs; gives what was said, however it ended."""
    out = io.StringIO()
    try:
        call_command("update_network_stats", stdout=out, stderr=out)
    except (SystemExit, CommandError) as error:
        return f"{out.getvalue()}\nended with {error!r}"
    return out.getvalue()


def copied_database() -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:")
    connection.ensure_connection()
    connection.connection.backup(copy)
    return copy


def put_back(copy: sqlite3.Connection) -> None:
    copy.backup(connection.connection)


def figures_of_ledger() -> tuple[dict, dict]:
    """The twin's tables for the ingested batches."""
    files = {name: ALL[name] for name in Batch.objects.filter(status="in").values_list("name", flat=True)}
    records = [one for file in files.values() for one in file]
    watermark = {
        kind: max((one.start - one.start % 300 + 300 for one in records if type(one) is kind), default=0)
        for kind in (Flow, Message, Log, Call)
    }
    return expected(files, watermark)


def damage(lake: Path, random_: random.Random) -> str:
    """Damages one to four files of the lake; gives how."""
    # What lake.json says with a wrong digit is another lake, which is refused.
    files = sorted(lake.rglob("*.parquet"))
    how = random_.choice(["lost", "cut", "flipped", "swapped"])
    chosen = random_.sample(files, random_.randint(2, 4))
    if how == "swapped":
        contents = [path.read_bytes() for path in chosen]
        for path, content in zip(chosen, [*contents[1:], contents[0]], strict=True):
            path.write_bytes(content)
        return how
    for path in chosen[random_.randint(0, 1) :]:
        content = bytearray(path.read_bytes())
        if how == "lost":
            path.unlink()
        elif how == "cut":
            path.write_bytes(content[: random_.randrange(len(content))])
        else:
            content[random_.randrange(len(content))] ^= 1 << random_.randrange(8)
            path.write_bytes(content)
    return how


def check(before: tuple[dict, dict], is_mended: bool) -> int:
    """Compares the tables with the twin of what the ledger has; gives how many intervals are incomplete."""
    rows, summaries = stored()
    wanted_rows, wanted = figures_of_ledger()
    reasons = {
        (one.kpi, one.interval, one.interval_start_timestamp): one.reason
        for one in IntervalSummary.objects.filter(state="incomplete")
    }
    for key in wanted.keys() | summaries.keys():
        if key in reasons:
            assert reasons[key], key
            assert rows.get(key) in (before[0].get(key), wanted_rows.get(key), None), key
        else:
            assert (rows.get(key), summaries.get(key)) == (wanted_rows.get(key), wanted.get(key)), (key, is_mended)
    return len(reasons)


def test_no_damage_gives_a_wrong_figure_and_a_repair_ends_it(data_dir, lake_dir, tmp_path):
    states = []
    for number, names in enumerate([["ipflow_data.a.csv", "antenna_data.a.jsonl"], [*FILES, *LAST], []]):
        for name in names:
            (data_dir / name).write_text(file_text(ALL[name]))
        update()
        states.append((copied_database(), shutil.copytree(lake_dir, tmp_path / f"lake-{number}"), stored()))
    counts: Counter = Counter()
    for trial in range(TRIALS):
        random_ = random.Random(trial)  # noqa: S311
        database, lake, before = states[-1]
        how = "damage"
        if trial % 5 == 4:
            how = random_.choice(["older database", "older lake", "missing mount", "wrong mount"])
        if how == "older database":
            database, _, before = random_.choice(states[:-1])
        elif how == "older lake":
            _, lake, _ = random_.choice(states[:-1])
        shutil.rmtree(lake_dir, ignore_errors=True)
        shutil.copytree(lake, lake_dir)
        put_back(database)
        for name in ALL:
            (data_dir / name).write_text(file_text(ALL[name]))
        if how == "damage":
            how = damage(lake_dir, random_)
        elif how == "missing mount":
            shutil.rmtree(lake_dir)
        elif how == "wrong mount":
            fields = json.loads((lake_dir / "lake.json").read_text())
            (lake_dir / "lake.json").write_text(json.dumps(fields | {"lake": fields["database"]}))
        has_sources = random_.random() < 0.5
        if not has_sources:
            for name in random_.sample(sorted(FILES | LAST), 3):
                (data_dir / name).unlink()
        update()
        check(before, is_mended=False)
        if how == "wrong mount":
            with pytest.raises(CommandError, match="Mount the lake's disk"):
                repair()
            assert stored() == before
            counts[how] += 1
            continue
        repair()
        said = update()
        assert "ended with" not in said, (trial, how, said)
        incomplete = check(before, is_mended=True)
        assert "0 findings" in repair(), (trial, how)
        assert not (has_sources and incomplete), (trial, how)
        counts[how, "incomplete" if incomplete else "exact"] += 1
    print(dict(counts))  # noqa: T201  what the trials came to
    assert sum(counts.values()) == TRIALS
