"""Real processes that are killed, stopped, doubled or given a damaged lake: the tables end up exact all the same.

``KILLS`` sets how many processes the first test kills: 8 on SQLite and 4 on a server, with ``LONG=1`` 50 and 8.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

import pytest
from django.db import connection

from kpis.engine.scratch import PREFIX
from kpis.models import DueRollup, IntervalSummary, Run
from tests.effort import times
from tests.processes import PATIENCE, Place, digest, end_of, killed, new_place
from tests.twin import ONE_HOUR, Flow, expected, moment

pytestmark = pytest.mark.django_db(transaction=True)

KILLS = times("KILLS", 8, 50) if connection.vendor == "sqlite" else times("KILLS", 4, 8)
# SQLite places are apart, so two can work at once; a server's tests have one database.
LANES = 2 if connection.vendor == "sqlite" else 1
START = 1626566400  # 2021-07-18T00:00:00Z
# Those that are started at once.
RUNS = times("RUNS", 4, 10)
# How many hours of files there are for a kill or a signal that comes while a run is at work.
HOURS = 20


def hour_of_files(random_: random.Random, hour: int) -> dict[str, list[Flow]]:
    """Two files an interval, the second of which has some rows of the interval before."""
    return {
        f"ipflow_data.ts-{(start + 300) * 1000}.{number}.csv": flows(random_, start, late=number == 2)
        for start in range(START + hour * 3600, START + (hour + 1) * 3600, 300)
        for number in (1, 2)
    }


def flows(random_: random.Random, start: int, late: bool = False) -> list[Flow]:
    return [
        Flow(
            start=start - 300 * (late and random_.random() < 0.1),
            msisdn=31600000000 + random_.randrange(1, 60),
            uplink=random_.randrange(5) * 100,
            downlink=random_.randrange(5) * 100,
            service=random_.randrange(-3, 25),
            cell=random_.randrange(-3, 25),
        )
        for _ in range(60)
    ]


class Lane:
    """One place through which hours of files pass, ingested by processes that get killed.

    ``contents`` has every content that each file has had, by its digest; ``files`` has the newest.
    """

    def __init__(self, place: Place, seed: int):
        self.place, self.random = place, random.Random(seed)  # noqa: S311
        self.files: dict[str, list[Flow]] = {}
        self.contents: dict[str, list[Flow]] = {}

    def kills(self, number: int) -> int:
        """Kills so many processes, and checks what each left and what the next one makes of it; the number."""
        done = 0
        self.put(hour_of_files(self.random, 0))
        self.measure()
        # A process may end before it is killed, so there are more hours than kills.
        for hour in range(1, number + HOURS):
            for files in (hour_of_files(self.random, hour), self.replacements()):
                self.put(files)
                chain = min(self.random.randint(3, 7), number - done)
                while chain and self.kill():
                    done, chain = done + 1, chain - 1
                    self.check_what_is_in()
                if not chain:
                    ended = self.place.run()
                    assert ended.code == 0, ended.err
                self.check_all_is_in()
                if done == number:
                    return done
        return done

    def put(self, files: dict[str, list[Flow]]) -> None:
        self.place.put(files)
        self.files |= files
        self.contents |= {digest(flows): flows for flows in files.values()}

    def measure(self) -> None:
        """Ingests the first hour undisturbed: the time to the first file, and the time for all."""
        began = time.monotonic()
        process = self.place.start(GROUP_FILES="1")
        process.stdout.readline()
        self.seconds_before = time.monotonic() - began
        assert end_of(process).code == 0
        self.seconds = time.monotonic() - began - self.seconds_before

    def replacements(self) -> dict[str, list[Flow]]:
        """New content for some of the newest files."""
        names = self.random.sample(sorted(self.files)[-24:], 6)
        starts = [int(name.split("-")[1].split(".")[0]) // 1000 - 300 for name in names]
        return {name: flows(self.random, start) for name, start in zip(names, starts, strict=True)}

    def kill(self) -> bool:
        """Starts a process and kills it; False when it ended before."""
        known = self.place.known()
        todo = sum(digest(flows) != known.get(name) for name, flows in self.files.items()) or 1
        process = self.place.start(GROUP_FILES=self.random.choice("1123"))
        if self.random.random() < 0.7:
            wait = self.seconds_before * 0.9 + self.random.random() * self.seconds * todo / 24
        else:
            self.await_commit(process, self.random.randrange(todo))
            wait = self.random.random() * 0.01
        try:
            process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            killed(process)
            return True
        ended = end_of(process)
        assert ended.code == 0, ended.err
        return False

    def await_commit(self, process: subprocess.Popen[str], number: int) -> None:
        """Waits until a batch is staged in the lake but not committed, for the ``number``-th batch or so."""
        seen: set[str] = set()
        began = time.monotonic()
        while len(seen) <= number:
            assert time.monotonic() - began < PATIENCE, "the run neither stages nor ends"
            seen |= {path.parent.name for path in self.place.lake.glob("staging/*/plan.json")}
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.001)
                return

    def check_what_is_in(self) -> None:
        """Check that results are exact for the ingested batches; hours that are due may lag."""
        known = self.place.known()
        newest = max(flow.start + 300 for flows in self.contents.values() for flow in flows)
        with self.place.alias() as alias:
            due = set(DueRollup.objects.using(alias).values_list("interval_start_timestamp", flat=True))
        rows, summaries = expected({name: self.contents[key] for name, key in known.items()}, newest)
        for found, wanted in zip(self.place.stored(), (rows, summaries), strict=True):
            assert not_due(found, due) == not_due(wanted, due)
        assert self.place.keys() <= set().union(*self.place.keys_in_lake())

    def check_all_is_in(self) -> None:
        """After a run that was not killed: the oracle's tables, and a lake of the ledger's files alone."""
        newest = max(flow.start + 300 for flows in self.contents.values() for flow in flows)
        assert self.place.stored() == expected(self.files, newest)
        files = self.place.lake_files()
        assert {path.parts[0] for path in files} == {"lake.json", "partials"}
        alone, compacted = self.place.keys_in_lake()
        assert alone <= self.place.keys() <= alone | compacted
        assert not list(self.place.lake.glob("staging/*"))
        assert not list(self.place.temporary.glob(f"{PREFIX}*"))


def not_due(figures: dict, due: set) -> dict:
    return {key: figure for key, figure in figures.items() if key[1] != ONE_HOUR or key[2] not in due}


def test_a_run_that_is_killed_at_any_moment_leaves_nothing_half_done_and_the_next_one_ends_exact(tmp_path):
    began = time.monotonic()
    shares = [KILLS // LANES + (lane < KILLS % LANES) for lane in range(LANES)]
    lanes = [Lane(new_place(tmp_path / f"lane{lane}"), seed=lane) for lane in range(LANES)]
    with ThreadPoolExecutor(LANES) as threads:
        done = sum(threads.map(Lane.kills, lanes, shares))
    assert done == KILLS
    print(f"{KILLS} kills, {done} exact, in {time.monotonic() - began:.0f} s")  # noqa: T201


def gate(place: Place) -> Path:
    """Holds the next run when it has the lock, at the sight of a broken run's plan that never ends: a pipe."""
    path = place.lake / "staging" / "held" / "plan.json"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    return path


def open_gate(path: Path, held: subprocess.Popen[str]) -> None:
    """Lets the held run go on: the plan is an empty list."""
    began = time.monotonic()
    while held.poll() is None:
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() - began > PATIENCE:
                raise
            # It has yet to come to the gate.
            with suppress(subprocess.TimeoutExpired):
                held.wait(timeout=0.01)
        else:
            os.write(pipe, b"[]")
            os.close(pipe)
            return


def test_of_runs_started_at_once_one_works_and_the_others_say_so_and_end_well(place):
    files = hour_of_files(random.Random(1), 0)  # noqa: S311
    place.put(files)
    path = gate(place)
    with ThreadPoolExecutor(RUNS) as threads:
        processes = [place.start() for _ in range(RUNS)]
        ends = as_completed([threads.submit(end_of, process) for process in processes])
        refused = [next(ends).result() for _ in range(RUNS - 1)]
        open_gate(path, next(process for process in processes if process.poll() is None))
        worked = next(ends).result()
    message = "Another run is under way on this database; nothing was done.\n"
    assert [(ended.code, ended.out, ended.err) for ended in refused] == [(0, message, "")] * (RUNS - 1)
    assert (worked.code, worked.err) == (0, "")
    assert "24 files ingested, 0 failed" in worked.out
    assert place.stored() == expected(files, START + 3600)
    assert len(runs(place)) == 1


def test_the_lock_of_a_killed_run_blocks_no_other(place):
    files = hour_of_files(random.Random(2), 0)  # noqa: S311
    place.put(files)
    path = gate(place)
    with ThreadPoolExecutor(2) as threads:
        processes = [place.start(), place.start()]
        ends = as_completed([threads.submit(end_of, process) for process in processes])
        assert "Another run is under way" in next(ends).result().out
        next(process for process in processes if process.poll() is None).kill()
        assert next(ends).result().code == -signal.SIGKILL
    path.unlink()
    ended = place.run()
    assert (ended.code, ended.err) == (0, "")
    assert place.stored() == expected(files, START + 3600)


def test_a_killed_run_is_recorded_as_broken_off_by_the_next(place):
    random_ = random.Random(3)  # noqa: S311
    for hour in range(HOURS):
        place.put(hour_of_files(random_, hour))
        process = place.start(GROUP_FILES="1")
        process.stdout.readline()
        killed(process)
        # One that ends before it is killed is followed by another one.
        if runs(place)[-1].outcome == "running":
            break
    assert place.run().code == 0
    first, second = runs(place)[-2:]
    assert (first.outcome, first.traceback) == ("broken", "The process ended without recording how.")
    assert first.process == process.pid
    assert (second.outcome, second.traceback) == ("succeeded", "")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"] if connection.vendor == "sqlite" else ["SIGTERM"])
def test_a_run_that_is_asked_to_stop_ends_soon_and_the_next_one_goes_on(place, name):
    files, random_ = {}, random.Random(4)  # noqa: S311
    for hour in range(HOURS):
        files |= hour_of_files(random_, hour)
        place.put(files)
        process = place.start(GROUP_FILES="1")
        process.stdout.readline()
        process.send_signal(signal.Signals[name])
        ended = end_of(process)
        # One that ends before the signal comes is followed by another one.
        if ended.code:
            break
    assert ended.code == 128 + signal.Signals[name]
    assert (
        ended.err
        == f"CommandError: Stopped by {name}. What was ingested before stays; the next run goes on from there.\n"
    )
    run = runs(place)[-1]
    assert run.outcome == "broken"
    assert run.traceback.startswith("Traceback")
    assert not list(place.temporary.iterdir())
    assert place.run().code == 0
    assert place.stored() == expected(files, START + (hour + 1) * 3600)


def runs(place: Place) -> list[Run]:
    with place.alias() as alias:
        return list(Run.objects.using(alias).order_by("id"))


def test_lake_files_that_the_ledger_does_not_know_never_count_and_those_of_killed_runs_go(place):
    files = hour_of_files(random.Random(5), 0)  # noqa: S311
    names = sorted(files)
    place.put({name: files[name] for name in names[:-2]})
    assert place.run(GROUP_FILES="1").code == 0
    strays = []
    for path in place.lake.glob("partials/*/*/*/*/hour=00/*.parquet"):
        if path.name.partition(".")[0] == min(place.keys()):
            stray = path.with_stem("0" * 24)
            shutil.copy(path, stray)
            strays.append(str(stray.relative_to(place.lake)))
    assert len(strays) == 2
    # As a run leaves it that was killed between lake and database.
    (place.lake / "staging" / "000").mkdir()
    (place.lake / "staging" / "000" / "plan.json").write_text(json.dumps(strays))
    (place.lake / "staging" / "000" / "0.parquet").write_bytes(b"half")
    place.put({name: files[name] for name in names[-2:]})
    assert place.run().code == 0
    assert place.stored() == expected(files, START + 3600)
    alone, compacted = place.keys_in_lake()
    assert alone | compacted == place.keys()


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("Parquet\n" * 100),
    "zeros inside": lambda path: path.write_bytes(b"PAR1" + bytes(300) + path.read_bytes()[304:]),
}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the lake is the same whatever the server")
def test_a_lake_file_that_is_damaged_or_missing_stops_only_the_intervals_that_need_it(place):
    random_ = random.Random(6)  # noqa: S311
    first, second, late = (START, START + 1500, START + 3300)
    files = {f"ipflow_data.ts-{(start + 300) * 1000}.1.csv": flows(random_, start) for start in (first, second, late)}
    *most, last = files
    place.put({name: files[name] for name in most})
    assert place.run().code == 0
    damaged = max(place.lake.glob("partials/CellUniqueUsers/**/*.parquet"))
    whole = damaged.read_bytes()
    place.put({last: files[last]})
    wanted, totals = expected(files, START + 3600)
    hour_of_users = (2, 2, moment(START))
    for damage in DAMAGES.values():
        damage(damaged)
        ended = place.run()
        assert ended.code == 1
        (line,) = ended.err.splitlines()
        assert line.startswith("failed ipflow, 1 hour from 2021-07-18T00:00:00Z: The lake")
        assert f"{damaged}" in line
        # The late file is in; only the hour's users need the damaged one, and have no figures before they are whole.
        rows, summaries = place.stored()
        assert rows == {key: value for key, value in wanted.items() if key != hour_of_users}
        assert summaries.pop(hour_of_users)[:2] == (None, 0)
        assert summaries == {key: value for key, value in totals.items() if key != hour_of_users}
        with place.alias() as alias:
            (incomplete,) = IntervalSummary.objects.using(alias).filter(state="incomplete")
            assert f"{damaged.relative_to(place.lake)}" in incomplete.reason
        assert runs(place)[-1].outcome == "incomplete"
        damaged.write_bytes(whole)
    assert place.run().code == 0
    assert place.stored() == expected(files, START + 3600)
