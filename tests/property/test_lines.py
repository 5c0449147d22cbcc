"""Lines and whole numbers: the small parts of the reader, each against the naive way to do the same."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import zstandard
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kpis.catalog.columns import BadValue, Integer
from kpis.catalog.feeds import BadRow
from kpis.catalog.formats import CSV
from kpis.formats import content as content_module
from kpis.formats import grammar as grammar_module
from kpis.formats import lines as lines_module
from kpis.formats.bounds import Bounds, FileError
from kpis.formats.csv_fields import Fields
from kpis.formats.grammar import Digits
from kpis.formats.lines import Line, SplitFile, lines_at, split
from kpis.sources.directory import batch_name
from tests.effort import times

WIDTH = 3
WORDS = st.sampled_from(
    [
        b"1",
        b"22",
        b"0",
        b"-3",
        b",",
        b",",
        b",",
        b'"',
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b"\n",
        b"x",
        b"\0",
        b"\xff",
        b"1" * 30,
        b"\n" * 99,
        b" " * 99,
    ]
)
CONTENTS = st.lists(WORDS, max_size=60).map(b"".join)
ROWS = st.lists(
    st.sampled_from([b"1,2,3", b"1,2,3", b"4,,5", b'"6",-7, 8', b"", b"  ", b"a,b,c", b"\n" * 99, b" " * 150]),
    max_size=30,
).map(b"\n".join)

small_blocks = pytest.mark.usefixtures("blocks_of_64_bytes")
EXAMPLES = times("LINES_EXAMPLES", 150, 2000)
many = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def blocks_of_64_bytes(monkeypatch):
    """So small that a short file has many blocks, and lines longer than may be."""
    monkeypatch.setattr(content_module, "PACKED_PIECE_BYTES", 5)
    for module in (content_module, lines_module):
        monkeypatch.setattr(module, "BLOCK_BYTES", 64)
    for module in (content_module, grammar_module, lines_module):
        monkeypatch.setattr(module, "LONGEST_LINE_BYTES", 100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lines")


def naive_lines(content: bytes) -> list[bytes]:
    """Lines end in LF or CR LF; the last need not."""
    lines = content.split(b"\n")
    last = lines.pop()
    return [line.removesuffix(b"\r") for line in lines] + ([last] if last else [])


def of_three(line: bytes) -> tuple[Digits, bool]:
    """What ``split`` has to know of a file with three columns of whole numbers."""
    return Digits(3, CSV()), True


def no_more(found: SplitFile) -> None:
    pytest.fail("so few clean lines are not read before the end of the file")


def split_of(path: Path, folder: Path) -> tuple[SplitFile, list[Line]]:
    odd: list[Line] = []
    return split(path, folder / "spool", CSV(), of_three, odd.extend, no_more), odd


def clean_lines_of(found: SplitFile) -> list[bytes]:
    return naive_lines(found.clean_path.read_bytes())[found.skip :]


@small_blocks
@many
@given(content=st.one_of(CONTENTS, ROWS), packing=st.sampled_from(["", ".gz", ".zst"]))
def test_each_line_is_clean_or_odd_or_blank_with_its_number(folder, content, packing):
    longest = grammar_module.LONGEST_LINE_BYTES
    path = folder / f"flows.csv{packing}"
    whole = b"a,b,c\n" + content
    path.write_bytes({"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[packing](whole))
    found, odd = split_of(path, folder)
    by_number = dict(enumerate(naive_lines(whole), 1))
    data = {n: line for n, line in by_number.items() if n > 1 and (line.strip() or len(line) > longest)}
    clean = clean_lines_of(found)
    assert (found.clean, found.lines) == (len(clean), len(data))
    assert found.digest == blake3(whole).hexdigest()
    numbers = found.line_numbers(np.arange(found.clean)).tolist()
    assert sorted([*numbers, *(line.number for line in odd)]) == sorted(data)
    for line in odd:
        original = data[line.number]
        assert line.content == original if len(original) <= longest else len(line.content) > longest
    for number, line in zip(numbers, clean, strict=True):
        assert line == data[number].translate(None, b' \t"')
        assert [int(field or 0) for field in line.split(b",")] == [
            int(field.strip(" \t") or 0) for field in Fields(CSV()).split(data[number].decode())
        ]
    wanted = np.array(sorted(data), dtype=np.int64)[::2]
    found_again = {line.number: line.content for line in lines_at(path, CSV(), wanted)}
    assert list(found_again) == wanted.tolist()
    for number, line in found_again.items():
        assert line == data[number] if len(data[number]) <= longest else len(line) > longest


@settings(max_examples=EXAMPLES)
@given(st.lists(st.sampled_from(["clean", 1, 2, 70]), max_size=40))
def test_the_number_of_a_clean_line_counts_all_lines_before_it(run_lengths):
    found = SplitFile(Path("flows.csv"), (), Path("flows.csv"), skip=1)
    number, numbers = 1, []
    for left_out in run_lengths:
        if left_out == "clean":
            number += 1
            numbers.append(number)
        else:
            number += left_out
            found.leave_out(len(numbers), left_out)
    assert found.line_numbers(np.arange(len(numbers))).tolist() == numbers


@pytest.mark.parametrize("length", [98, 99, 100, 101, 102, 103, 163, 164, 165, 400])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\rx\n"])
@small_blocks
def test_a_line_is_too_long_by_its_own_length_wherever_the_blocks_end(folder, length, end):
    path = folder / "flows.csv"
    line = b"1,2," + b"3" * (length - 4)
    for before in range(70):
        path.write_bytes(b"a,b,c\n" + b"\n" * before + line + end + b"4,5,6\n" * bool(end.endswith(b"\n")))
        found, odd = split_of(path, folder)
        expected = length <= 100 and end != b"\rx\n"
        assert clean_lines_of(found) == [line] * expected + [b"4,5,6"] * end.endswith(b"\n")
        assert [(odd_line.number, len(odd_line.content) > 100) for odd_line in odd] == [
            (before + 2, length + len(end.rstrip(b"\n")) > 100 if b"x" in end else True)
        ] * (not expected)


@many
@given(
    text=st.one_of(
        st.from_regex(r"-{0,2}[0-9]{0,25}", fullmatch=True),
        st.integers(-(2**65), 2**65).map(str),
        st.sampled_from([-1, 0, 1]).flatmap(
            lambda d: st.sampled_from([2**31, -(2**31), 2**63, -(2**63)]).map(lambda n: str(n + d))
        ),
        st.integers(0, 2**64).map(lambda n: "0" * 30 + str(n)),
        st.text(max_size=6),
        st.sampled_from(["1_0", "+1", "٣", "\uff11", "²", "1e3", "0x1F", "1.0", "nan", "-", "--1", "1" * 5000]),
    ),
    column=st.sampled_from(
        [Integer(), Integer(minimum=1), Integer(bits=32, minimum=-(2**31)), Integer(minimum=-(2**63))]
    ),
)
def test_a_whole_number_is_what_python_says_within_its_bits(text, column):
    digits = text.removeprefix("-")
    if not digits or set(digits) - set("0123456789"):
        expected = "is empty" if not text else "is not a whole number"
    else:
        number = int(digits[-4000:]) * (-1 if text[0] == "-" else 1)
        if not -(2 ** (column.bits - 1)) <= number < 2 ** (column.bits - 1):
            expected = f"is beyond {column.bits} bits"
        elif number < column.minimum:
            expected = "is less than 1" if column.minimum else "is negative"
        else:
            expected = number
    try:
        parsed = column.parse(text)
    except BadValue as error:
        parsed = str(error)
    assert parsed == expected


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("1,2", ["1", "2"]),
        ("", [""]),
        (",", ["", ""]),
        ('"1","2"', ["1", "2"]),
        ('"1",', ["1", ""]),
        (' "1" ,\t"2"\t', ["1", "2"]),
        ('"a,b",c', ["a,b", "c"]),
        ('"say ""so""",""', ['say "so"', ""]),
        ('1, 2 ,"3"', ["1", " 2 ", "3"]),
    ],
)
def test_fields_stand_between_commas_or_within_quotes(text, fields):
    assert Fields(CSV()).split(text) == fields


@pytest.mark.parametrize("text", ['"', '"1', '1"', '1"2"', '"1"2', '"1" "2"', '"1,2', '1,"', '""" '])
def test_a_badly_placed_quote_is_reported(text):
    with pytest.raises(BadRow, match="has a badly placed quote"):
        Fields(CSV()).split(text)


def packed(suffix: str, content: bytes) -> bytes:
    return {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor(write_checksum=True).compress}[suffix](content)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_data_cut_anywhere_is_reported(folder, suffix):
    content = packed(suffix, b"a,b,c\n" + b"".join(b"%d,%d,3\n" % (n, n * n) for n in range(40)))
    path = folder / f"flows{suffix}"
    kind = {".gz": "gzip", ".zst": "zstd"}[suffix]
    for length in range(1, len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(FileError, match=f"ends in the middle of its {kind} data"):
            split_of(path, folder)
    path.write_bytes(content)
    assert split_of(path, folder)[0].clean == 40


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@small_blocks
def test_packed_data_in_many_parts_is_one_text(folder, suffix):
    path = folder / f"flows{suffix}"
    path.write_bytes(b"".join(packed(suffix, part) for part in (b"a,b", b",c\n1,2", b"", b",3\n", b"4,5,6\n" * 99)))
    found, odd = split_of(path, folder)
    assert (found.clean, odd) == (100, [])


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_packed_file_fails_once_it_unpacks_beyond_its_bounds(folder, suffix, monkeypatch):
    monkeypatch.setattr("kpis.formats.bounds.ALWAYS_UNPACKED_BYTES", 2**21)
    path = folder / f"flows{suffix}"
    path.write_bytes(packed(suffix, b"a,b,c\n" + b"1,2,3\n" * 2_000_000))
    size = path.stat().st_size
    ratio = 12_000_006 // size
    for bounds, reason in (
        (Bounds(unpacked_ratio=ratio), f"unpacks to more than {ratio:,} times its {size:,} bytes"),
        (Bounds(unpacked_bytes=12_000_005, unpacked_ratio=2**40), "unpacks to more than 12,000,005 bytes"),
    ):
        with pytest.raises(FileError, match=reason):
            split(path, folder / "spool", CSV(), of_three, list, no_more, bounds)
    found = split(
        path,
        folder / "spool",
        CSV(),
        of_three,
        list,
        no_more,
        Bounds(12_000_006, ratio + 1),
    )
    assert found.clean == 2_000_000
    # What lies beyond is not unpacked.
    (folder / "spool").unlink()
    with pytest.raises(FileError, match="unpacks to more than 1 times"):
        split(
            path,
            folder / "spool",
            CSV(),
            of_three,
            list,
            no_more,
            Bounds(unpacked_ratio=1),
        )
    assert not (folder / "spool").exists() or (folder / "spool").stat().st_size < 2**21
    # Of few bytes the ratio does not matter.
    path.write_bytes(packed(suffix, b"a,b,c\n" + b"1,2,3\n" * 300_000))
    found = split(path, folder / "spool", CSV(), of_three, list, no_more, Bounds(unpacked_ratio=1))
    assert found.clean == 300_000


def test_what_zstd_passes_over_is_passed_over(folder):
    path = folder / "flows.zst"
    skipped = b"\x5a\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    path.write_bytes(skipped + zstandard.compress(b"a,b,c\n1,2,3\n") + skipped)
    assert split_of(path, folder)[0].clean == 1


def test_names_that_differ_stay_different_in_the_ledger():
    names = [
        "a",
        "a ",
        "a\\x20",
        "a\n",
        "a\\n",
        "a\udcff",
        "a\\xff",
        "a\x7f",
        "a\x85",
        "a\udc85",
        "a\\\\n",
        "aÿ",
        "a\u0301",
        "á",
    ]
    assert len({batch_name(name) for name in names}) == len(names)
    assert all(batch_name(name).isprintable() and len(batch_name(name)) <= 700 for name in [*names, "\udcff" * 255])
