"""Files of a place: found, named, and sent to another process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpis.catalog.registry import FEEDS
from kpis.sources.directory import SourceError
from kpis.sources.places import decode_file, encode_file, found_in, named

CDR = FEEDS["cdr"]


def test_a_found_file_is_the_same_in_another_process(tmp_path: Path):
    (tmp_path / "cdr_1.csv").write_bytes(b"a line\n")
    (tmp_path / "cdr_2.csv").symlink_to(tmp_path / "absent")
    (tmp_path / "cdr_3.csv").mkdir()
    found = {file.name: file for file in found_in(tmp_path)}
    assert {name: (file.size, file.problem) for name, file in found.items() if name != "cdr_3.csv"} == {
        "cdr_1.csv": (7, ""),
        "cdr_2.csv": (0, "is a broken link"),
    }
    assert found["cdr_3.csv"].problem == "is a folder, not a file"
    for file in found.values():
        assert decode_file(json.loads(json.dumps(encode_file(file))), tmp_path) == file


def test_named_files_have_the_feed_that_is_given_and_no_two_have_one_name(tmp_path: Path):
    paths = [tmp_path / "a" / "calls", tmp_path / "b" / "calls"]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"")
    assert [(file.feed, file.path) for file in named(paths[:1], feed=CDR)] == [(CDR, paths[0])]
    with pytest.raises(SourceError, match=r"calls: its name belongs to no feed; name one with --feed\."):
        named(paths[:1])
    with pytest.raises(SourceError, match="have the same name, which would make them one batch"):
        named(paths, feed=CDR)
