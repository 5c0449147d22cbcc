"""The benchmarks in their short form, whose figures mean nothing: that everyone gives the same answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.contest import ROOT, Command, Contestant, ContestError, Figures, contest, measured

PEERS = ROOT / "benchmarks" / ".venv"

needs_peers = pytest.mark.skipif(
    not (PEERS / "requirements.done").exists(), reason="the peers are not installed: make setup-bench"
)

SHAPES_TWICE = """
import sys
from pathlib import Path
from benchmarks.bench import SHORT
from benchmarks.shapes import Shape

for name in ("one", "other"):
    Shape("bad", rows=1_000, users=100, cells=20, bad=10).made(Path(sys.argv[1], name))
"""


def says(name: str, text: str, of: str = "") -> Contestant:
    command = Command([sys.executable, "-c", f"print({text!r}, end='')"])
    return Contestant(name, lambda folder, run: command, lambda folder: (folder / "out").read_text(), of)


@needs_peers
@pytest.mark.parametrize(
    "benchmarks",
    [["hour", "scan", "rejects", "split", "start", "tick", "pages"], ["antenna", "coverage", "cdr"]],
    ids=" ".join,
)
def test_this_project_and_its_peers_give_the_same_answers(tmp_path, benchmarks):
    ended = subprocess.run(
        [PEERS / "bin" / "python", "-m", "benchmarks", "--short", "--folder", tmp_path, *benchmarks],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.stdout == f"The answers are the same, row by row: {', '.join(benchmarks)}.\n"


@needs_peers
def test_a_shape_is_the_same_bytes_each_time_it_is_made(tmp_path):
    subprocess.run([PEERS / "bin" / "python", "-c", SHAPES_TWICE, tmp_path], cwd=ROOT, check=True)
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.csv")} for name in ("one", "other")
    )
    assert len(one) == 13
    assert len(one["rejects.csv"].splitlines()) == 12 * 10
    assert one == other


def test_a_contest_fails_where_answers_differ(tmp_path):
    with pytest.raises(ContestError, match=r"^b and a differ:\n2\nand\n1$"):
        contest([says("a", "1"), says("b", "2")], 0, tmp_path)


def test_only_those_of_the_same_files_have_to_agree(tmp_path):
    figures = contest([says("a", "1", "x"), says("b", "2", "y"), says("c", "1", "x")], 2, tmp_path)
    assert {name: len(one.walls) for name, one in figures.items()} == {"a": 2, "b": 2, "c": 2}


def test_a_machine_that_changes_its_speed_between_turns_leaves_the_ratio():
    steady, slowed = Figures([1, 2, 1, 2, 2]), Figures([2, 4, 2, 4, 4])
    assert slowed.times(steady) == 2
    assert Figures([2, 4, 9]).times(Figures([1, 4, 3])) == 2


def test_a_contest_fails_where_a_process_does(tmp_path):
    failing = Contestant("a", lambda folder, run: Command([sys.executable, "-c", "import sys; sys.exit('no')"]))
    with pytest.raises(ContestError, match="ended with exit code 1:\nno\n"):
        contest([failing], 0, tmp_path)


def test_a_peak_is_the_processes_own_and_its_largest_childs(tmp_path):
    held = b"x" * 150_000_000
    _, _, small = measured(Command([sys.executable, "-c", ""]), Path(tmp_path))
    assert small < 50_000_000 < len(held)
    parent = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = b\"x\" * 150_000_000'])"
    _, _, large = measured(Command([sys.executable, "-c", parent]), Path(tmp_path))
    assert 150_000_000 < large < 200_000_000
