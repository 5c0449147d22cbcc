"""Measures an hour of IP flows: the whole `manage.py update_network_stats` against the DuckDB script beside it.

Both get the same files, in turns, each in a process of its own that starts from nothing; the answers must be the
same, row by row. Wall time counts from the process's start to its end, its imports included; the project also
keeps its lake and ledger in that time, which the script does not.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
MANAGE = HERE.parent / "manage.py"
START = "2021-07-18T19:00:00Z"  # the sample's busiest hour, in which every interval has all its rows
CODES = {"five_minutes": 1, "hours": 2}
QUERIES = {
    "services": "SELECT interval_start_timestamp, service_id, total_bytes FROM kpis_servicetrafficvolume",
    "cells": "SELECT interval_start_timestamp, cell_id, number_of_unique_users FROM kpis_celluniqueusers",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="of each, taken in turns (default: 3)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of a file (default: 1000000)")
    parser.add_argument("--files", type=int, default=12, help="one for each 5 minutes (default: 12, an hour)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keeps the files there, and takes them from there next time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hour-") as scratch:
        folder = (options.folder or Path(scratch)) / f"{options.files}x{options.rows}-{options.seed}"
        if not folder.exists():
            make_files(folder, options)
        return measure(sorted(folder.iterdir()), Path(scratch), options.runs)


def make_files(folder: Path, options: argparse.Namespace) -> None:
    """Makes the hour's files, all of them or no folder."""
    aside = folder.with_name(f"{folder.name}.tmp")
    arguments = ["--feed=ipflow", f"--start={START}", f"--intervals={options.files}"]
    arguments += [f"--rows={options.rows}", f"--seed={options.seed}"]
    subprocess.run(
        [sys.executable, MANAGE, "make_sample_data", aside, "-v0", *arguments],
        env=environment(folder.parent),
        check=True,
    )
    aside.rename(folder)


def measure(paths: list[Path], scratch: Path, runs: int) -> int:
    """Runs both in turns and prints what they took; 1 when their answers differ, else 0."""
    size = sum(len(path.read_bytes()) for path in paths)  # and now they are in the page cache
    print(f"{len(paths)} files, {size:,} bytes, {os.cpu_count()} cores, {runs} runs each")
    taken = {"DuckDB script": [], "update_network_stats": []}
    differ = 0
    for run in range(runs):
        output = scratch / f"answers-{run}.json"
        script = [sys.executable, HERE / "duckdb_one_file_at_a_time.py", *paths]
        with output.open("w") as file:
            taken["DuckDB script"].append(timed(script, environment(scratch), file))
        expected = json.loads(output.read_text())

        state = scratch / f"run-{run}"
        state.mkdir()
        env = environment(state)
        subprocess.run([sys.executable, MANAGE, "migrate", "-v", "0"], env=env, check=True)
        command = [sys.executable, MANAGE, "update_network_stats", "--data-dir", paths[0].parent, "-v", "0"]
        taken["update_network_stats"].append(timed(command, env))
        differ += compare(expected, database_rows(state))

    print(f"{'':<22}{'wall, median':>14}{'fastest':>10}{'slowest':>10}{'peak memory':>14}")
    medians = []
    for name, measured in taken.items():
        walls = [wall for wall, _ in measured]
        medians.append(statistics.median(walls))
        peak = max(peak for _, peak in measured)
        print(f"{name:<22}{medians[-1]:>12.2f} s{min(walls):>8.2f} s{max(walls):>8.2f} s{peak:>11,.0f} MB")
    print(f"ratio of the medians: {medians[1] / medians[0]:.2f}")
    print("The answers differ." if differ else "The answers are the same, row by row.")
    return 1 if differ else 0


def environment(state: Path) -> dict[str, str]:
    """The environment of a process that keeps all it keeps in a folder."""
    settings = {
        "PYTHON_DOTENV_DISABLED": "1",
        "SECRET_KEY": "for-benchmarks-alone",
        "DATABASE_URL": f"sqlite:///{state}/db.sqlite3",
        "LAKE_DIR": str(state / "lake"),
    }
    return {**os.environ, **settings}


def timed(command: list, env: dict[str, str], output=None) -> tuple[float, float]:
    """Runs a command; gives its wall time in seconds and its peak memory in MB (10^6 bytes)."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=output)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[1]} ended with exit code {process.returncode}.")
    return wall, usage.ru_maxrss * 1024 / 1e6


def database_rows(state: Path) -> dict:
    """The result tables' rows in rank order, in the form of the DuckDB script's answers."""
    found = {}
    connection = sqlite3.connect(state / "db.sqlite3")
    for kind, code in CODES.items():
        found[kind] = {}
        for name, query in QUERIES.items():
            for start, group, value in connection.execute(f"{query} WHERE interval = {code} ORDER BY 1, rank"):
                moment = str(int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp()) * 1000)
                found[kind].setdefault(moment, {"services": [], "cells": []})[name].append([group, value])
    connection.close()
    return found


def compare(expected: dict, found: dict) -> int:
    """Prints which intervals' lists differ, and gives how many."""
    differ = 0
    for kind in CODES:
        for moment in sorted(expected[kind].keys() | found[kind].keys()):
            if expected[kind].get(moment) != found[kind].get(moment):
                differ += 1
                print(f"{kind} from {moment}: the script has {expected[kind].get(moment)},")
                print(f"    the database has {found[kind].get(moment)}")
    return differ


if __name__ == "__main__":
    sys.exit(main())
