"""An hour of 12 files, of several shapes: this project and all its peers."""

from __future__ import annotations

from benchmarks.bench import PEERS, PROJECT, Bench, Outcome, named
from benchmarks.checks import BARS
from benchmarks.shapes import Shape


def hour(bench: Bench) -> Outcome:
    outcome = _against_peers(bench, "One hour", bench.shape("hour"))
    outcome.check_peers("one hour", BARS["hour wall"], BARS["hour CPU"])
    return outcome


def ipflow(bench: Bench) -> Outcome:
    """Measure as few rows as of the other feeds."""
    return _against_peers(bench, "An hour of IP flows", bench.shape("ipflow", rows=bench.sizes.feed_rows))


def few_users(bench: Bench) -> Outcome:
    users = bench.sizes.few_users
    return _against_peers(bench, f"One hour of {users:,} users", bench.shape("few-users", users=users))


def many_cells(bench: Bench) -> Outcome:
    cells = bench.sizes.many_cells
    return _against_peers(bench, f"One hour of {cells:,} cells", bench.shape("many-cells", cells=cells))


def users(bench: Bench) -> Outcome:
    some, many = bench.sizes.many_users
    contestants = []
    for count in (some, many):
        paths, of = bench.files(bench.shape(f"users-{count}", users=count, evenly=True)), f"{count:,} users"
        contestants += [*(bench.peer(name, paths, of) for name in PEERS), bench.project(paths, of)]
    outcome = bench.contest(f"One hour of {some:,} and of {many:,} users, who have equally many rows", contestants)
    walls = [outcome.figures[named(PROJECT, f"{count:,} users")].wall for count in (some, many)]
    outcome.checks = [BARS["users wall"].check(f"one hour of {many:,} users", walls[1] / walls[0])]
    return outcome


def _against_peers(bench: Bench, title: str, shape: Shape) -> Outcome:
    paths = bench.files(shape)
    title = f"{title}, {shape.files} x {shape.rows:,} rows"
    return bench.contest(title, [*(bench.peer(name, paths) for name in PEERS), bench.project(paths)])
