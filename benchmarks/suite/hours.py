"""An hour of 12 files, of several shapes: this project and all its peers."""

from __future__ import annotations

from benchmarks.bench import PEERS, PROJECT, Bench, Outcome, named
from benchmarks.checks import Check
from benchmarks.shapes import Shape


def hour(bench: Bench) -> Outcome:
    outcome = _against_peers(bench, "One hour", bench.shape("hour"))
    own, peers = outcome.figures[PROJECT], [outcome.figures[name] for name in PEERS]
    outcome.checks = [
        Check("1", "one hour: wall time, of the fastest peer's", own.wall / min(one.wall for one in peers), 0.7),
        Check("2", "one hour: peak memory, of the leanest peer's", own.peak / min(one.peak for one in peers), 0.6),
    ]
    return outcome


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
    outcome.checks = [Check("4", f"one hour of {many:,} users: wall time, of {some:,} users'", walls[1] / walls[0], 2)]
    return outcome


def _against_peers(bench: Bench, title: str, shape: Shape) -> Outcome:
    paths = bench.files(shape)
    title = f"{title}, {shape.files} x {shape.rows:,} rows"
    return bench.contest(title, [*(bench.peer(name, paths) for name in PEERS), bench.project(paths)])
