"""3GPP measurement files: what is read of sound ones, and what becomes of odd ones."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

import network_analysis_pm3gpp
from kpis.catalog.feeds import Feed
from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.engine.reader import Reader
from kpis.engine.scanner import scan
from kpis.formats.bounds import FileError
from network_analysis_pm3gpp.measurements import FORMAT
from network_analysis_pm3gpp.objects import object_of
from tests.pm3gpp import ATTEMPTS, CELL, CELL_8, PERIOD, collection, data, info, listed, raw, rows_of, value, whole
from tests.scanner import read_alike

CATALOG = Path(network_analysis_pm3gpp.__file__).with_name("pm.toml")


@pytest.fixture(scope="module")
def feed() -> Feed:
    """The feed that ``pm_catalog`` prints, but for the list of its counters."""
    text = re.sub(r"\n# The counters that are read.*?\n\]\n", "\n", CATALOG.read_text(), flags=re.DOTALL)
    (feed,) = parsed([parse(text.encode(), CATALOG)], {}, ()).feeds.values()
    assert not feed.format.options
    return feed


def test_a_row_is_a_value_with_its_object_counter_and_period(tmp_path, feed):
    path = tmp_path / "pm_1.xml"
    path.write_text(whole(value("234", "NIL", also="<suspect>true</suspect>"), value("3.75", "0", of=CELL_8)))
    columns = "epoch(end_time)::BIGINT, period, element, object, object_class, cell, counter, value, whole, suspect"
    records, rejects = read_alike(path, feed, columns)
    # 14:15 at +02:00 is 12:15 UTC.
    common = (1772367300, 900, "ManagedElement=gnb1")
    assert records == [
        (*common, CELL, "NRCellDU", "gnb1/7", "Att", Decimal(234), 234, True),
        (*common, CELL, "NRCellDU", "gnb1/7", "Succ", None, None, True),
        (*common, CELL_8, "NRCellDU", "gnb1/8", "Att", Decimal("3.75"), 4, False),
        (*common, CELL_8, "NRCellDU", "gnb1/8", "Succ", Decimal(0), 0, False),
    ]
    assert rejects == []


def row(counter: str, number: str | None, cell: str = "gnb1/7", suspect: bool = False) -> tuple:
    return cell, counter, None if number is None else Decimal(number), suspect


TWO = [row("Att", "5"), row("Succ", "4")]
TYPES = "<measTypes>Att Succ</measTypes>"
WITHOUT_P = '<measType p="1">Att</measType><measType>Succ</measType>'
SHORT = PERIOD.replace("PT900S", "PT412S").replace("14:15:00", "14:06:52")
REST = PERIOD.replace("PT900S", "PT488S")
LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
SOUND = whole(value("5", "4"))
# By what is odd: the file, its records, and its rejects by line, column and reason.
ODD = {
    "values in a list": (whole(listed("5 4"), types=TYPES), TWO, []),
    "values in a list over many lines": (whole(listed("\n  5\n  4\n"), types=TYPES), TWO, []),
    "a list of counters with single values": (whole(value("5", "4"), types=TYPES), TWO, []),
    "single counters with a list of values": (whole(listed("5 4")), TWO, []),
    "another namespace": (
        collection(data(info(value("5", "4"))), '<measCollecFile xmlns="http://example.org/measCollec">'),
        TWO,
        [],
    ),
    "no namespace": (collection(data(info(value("5", "4"))), "<measCollecFile>"), TWO, []),
    "a prefix for the namespace": (
        SOUND.replace("</", "</m:")
        .replace("<", "<m:")
        .replace("<m:/m:", "</m:")
        .replace("<m:?", "<?")
        .replace("xmlns=", "xmlns:m="),
        TWO,
        [],
    ),
    "objects of another namespace": (
        whole(value("5", "4"), raw('<r p="1">6</r>').replace("<measValue", '<measValue xmlns="urn:v"')),
        TWO,
        [],
    ),
    "elements of a vendor": (
        whole(raw('<r p="1">5</r><x:extra xmlns:x="urn:v"><r p="2">9</r></x:extra><r p="2">4</r>')),
        TWO,
        [],
    ),
    "a p that is missing": (
        whole(raw('<r>5</r><r p="2">4</r>')),
        [row("Succ", "4")],
        [(1, "counter", "is not known: the value has no p")],
    ),
    "a counter whose p is missing": (
        whole(value("5", "4"), types=WITHOUT_P),
        [row("Att", "5")],
        [(2, "counter", "is not known: there is none with p 2")],
    ),
    "a p that no counter has": (
        whole(value("5", "4", "3")),
        TWO,
        [(3, "counter", "is not known: there is none with p 3")],
    ),
    "a p that comes twice": (
        whole(raw('<r p="1">5</r><r p="1">6</r><r p="2">4</r>')),
        TWO,
        [(2, "counter", "is that of a value before: p 1 comes twice")],
    ),
    "a p of two counters": (
        whole(value("5", "4"), types='<measType p="1">Att</measType><measType p="1">Succ</measType>'),
        [],
        [
            (1, "counter", "is not known: p 1 is that of Att and Succ"),
            (2, "counter", "is not known: there is none with p 2"),
        ],
    ),
    "a counter that comes twice": (
        whole(value("5", "4"), types='<measType p="1">Att</measType><measType p="2">Att</measType>'),
        [],
        [
            (1, "counter", "comes twice for this object and period"),
            (2, "counter", "comes twice for this object and period"),
        ],
    ),
    "no counters": (
        whole(value("5"), types=""),
        [],
        [(1, "counter", "is not known: there is none with p 1")],
    ),
    "a counter without a name": (
        whole(value("5", "4"), types='<measType p="1">Att</measType><measType p="2"> </measType>'),
        [row("Att", "5")],
        [(2, "counter", "is not known: there is none with p 2")],
    ),
    "p in another order": (whole(raw('<r p="2">4</r><r p="1">5</r>')), TWO[::-1], []),
    "fewer values than counters": (whole(raw('<r p="2">4</r>')), TWO[1:], []),
    "a list with a value too few": (
        whole(listed("5"), types=TYPES),
        [],
        [(1, "value", "is one of 1 values for 2 counters")],
    ),
    "a list with a value too many": (
        whole(listed("5 4 3"), types=TYPES),
        [],
        [(line, "value", "is one of 3 values for 2 counters") for line in (1, 2, 3)],
    ),
    "values that are not there": (
        whole(value("NIL", ""), raw('<r p="1"/><r p="2">null</r>', CELL_8)),
        [row(name, None, cell) for cell in ("gnb1/7", "gnb1/8") for name in ("Att", "Succ")],
        [],
    ),
    "a value that is no number": (
        whole(value("five", "4")),
        TWO[1:],
        [(1, "value", "is not a decimal number")],
    ),
    "a value beyond all numbers": (
        whole(value("1000000000000", "4")),
        TWO[1:],
        [(1, "value", "is not between -100000000000 and 100000000000")],
    ),
    "values that are suspect": (
        whole(value("5", "4", also="<suspect>true</suspect>"), value("3", "2", of=CELL_8, also="<suspect>0</suspect>")),
        [
            row("Att", "5", suspect=True),
            row("Succ", "4", suspect=True),
            row("Att", "3", "gnb1/8"),
            row("Succ", "2", "gnb1/8"),
        ],
        [],
    ),
    "suspect that is neither true nor false": (
        whole(value("5", "4", also="<suspect>maybe</suspect>")),
        [],
        [(line, "suspect", "is none of true, 1, yes, false, 0, no") for line in (1, 2)],
    ),
    "a counter that was reset, as its element was started": (
        collection(
            data(
                info(value("2", "1", also="<suspect>true</suspect>"), period=SHORT), info(value("5", "4"), period=REST)
            )
        ),
        [row("Att", "2", suspect=True), row("Succ", "1", suspect=True), *TWO],
        [],
    ),
    "an object that comes twice": (
        whole(value("5", "4"), value("5", "4")),
        TWO,
        [(line, "counter", "comes twice for this object and period") for line in (3, 4)],
    ),
    "an object that comes twice in other lists": (
        collection(data(info(value("5", "4")), info(value("1", "4"), types=ATTEMPTS.replace("Att", "Fail")))),
        [*TWO, row("Fail", "1")],
        [(4, "counter", "comes twice for this object and period")],
    ),
    "an object of two elements": (
        collection(data(info(value("5", "4"))) + data(info(value("5", "4")), element="ManagedElement=gnb2")),
        [*TWO, row("Att", "5", "gnb2/7"), row("Succ", "4", "gnb2/7")],
        [],
    ),
    "an object in two periods": (
        collection(data(info(value("5", "4")), info(value("3", "2"), period=PERIOD.replace("14:15:00", "14:30:00")))),
        [*TWO, row("Att", "3"), row("Succ", "2")],
        [],
    ),
    "an object without a name": (whole(value("5", "4", of="")), [row("Att", "5", None), row("Succ", "4", None)], []),
    "an object with odd characters": (
        whole(value("5", "4", of="NRCellDU=a&amp;b\\,c &quot;d&quot; é")),
        [row("Att", "5", 'gnb1/a&b\\,c "d" é'), row("Succ", "4", 'gnb1/a&b\\,c "d" é')],
        [],
    ),
    "a longer period": (
        whole(value("5", "4"), period=PERIOD.replace("PT900S", "PT1H")),
        [],
        [(line, "period", "is longer than the interval of 15 minutes") for line in (1, 2)],
    ),
    "no period": (whole(value("5"), period="", types=ATTEMPTS), [], [(1, "end_time", "is empty")]),
    "a period without its length": (
        whole(raw('<r p="2">4</r>'), period=PERIOD.replace("PT900S", "15 minutes")),
        [],
        [(1, "period", "is empty")],
    ),
    "comments, CDATA and instructions": (
        whole("<!-- <measValue> --><?measValue ?>", raw('<r p="1"><!-- 9 -->5</r><r p="2"><![CDATA[4]]></r>')),
        TWO,
        [],
    ),
    "objects that are commented out": (
        whole(f"<!-- {value('9', '9')} -->", value("5", "4"), f"<![CDATA[{value('8', '8')}]]>"),
        TWO,
        [],
    ),
    "single quotes": (SOUND.replace('"', "'"), TWO, []),
    "references to characters": (whole(value("&#53;", "&#x34;")), TWO, []),
    "no footer": (SOUND.replace("<fileFooter>", "<other>").replace("</fileFooter>", "</other>"), TWO, []),
    "no values": (whole(), [], []),
    "no data": (collection(""), [], []),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_file_has_the_records_and_rejects_that_it_deserves(tmp_path, feed, odd):
    text, records, rejects = ODD[odd]
    path = tmp_path / "pm_1.xml"
    path.write_text(text)
    found, refused = read_alike(path, feed, "cell, counter, value, suspect")
    assert found == records
    assert [one[:3] for one in refused] == rejects


# By what is wrong: the file, and why it fails as a whole.
DAMAGED = {
    "cut off within a tag": (SOUND[:-300].encode(), "ends too early"),
    "cut off between tags": (SOUND.partition("</measInfo>")[0].encode(), "ends too early"),
    "cut off within an object": (SOUND.partition('<r p="2">')[0].encode(), "ends too early"),
    "nothing but a declaration": (SOUND.partition("\n")[0].encode(), "ends too early"),
    "tags that do not fit": (
        SOUND.replace("</measInfo>", "</measData>", 1).encode(),
        "is no XML: mismatched tag at byte ",
    ),
    "something after the end": (f"{SOUND}<more/>".encode(), "is no XML: junk after document element at byte "),
    "an entity that is not defined": (whole(value("&five;", "4")).encode(), "is no XML: undefined entity at byte "),
    "text that is not UTF-8": (
        whole(value("5", "4", of="NRCellDU=?")).encode().replace(b'?"', b'\xff"'),
        "is no XML: not well-formed (invalid token) at byte ",
    ),
    "no XML": (b"Time;Cell;Att\n", "is no XML: "),
    "another document": (b"<html><body/></html>", "is no measurement file: its first element is html, not measColl"),
    "a billion laughs": (
        SOUND.replace("\n", f"\n{LAUGHS}", 1).replace(">5<", ">&b;<").encode(),
        "has a document type, which may define entities without end",
    ),
    "a file of this machine": (
        SOUND.replace("\n", '\n<!DOCTYPE a SYSTEM "file:///etc/passwd">', 1).encode(),
        "has a document type, which may define entities without end",
    ),
    "elements without end within each other": (
        collection("<measData>" * 500).encode(),
        "has more than 100 elements within each other",
    ),
    "values without end": (
        whole(raw('<r p="1">5</r>' * 100_001)).encode(),
        "has more than 100,000 values of an object",
    ),
    "a text without end": (
        whole(value("5" * 17 * 2**20)).encode(),
        "has an element of more than 16,777,216 bytes",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_fails_with_its_reason(tmp_path, feed, damage):
    content, reason = DAMAGED[damage]
    path = tmp_path / "pm_1.xml"
    path.write_bytes(content)
    assert scan(path, feed, []) is None
    with duckdb.connect() as connection, pytest.raises(FileError) as error:
        Reader(connection).read(path, feed)
    assert f"{error.value}".startswith(reason)
    assert not error.value.passing


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1"])
def test_a_file_may_have_another_encoding(tmp_path, feed, encoding):
    path = tmp_path / "pm_1.xml"
    declared = encoding.removesuffix("-sig")
    text = whole(value("5", "4", of="NRCellDU=é")).replace('encoding="UTF-8"', f'encoding="{declared}"')
    path.write_bytes(text.encode(encoding))
    assert read_alike(path, feed, "cell, counter, value") == ([("gnb1/é", "Att", 5), ("gnb1/é", "Succ", 4)], [])


def packed(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, one in files.items():
            archive.writestr(name.replace("_", ".").replace("..", "/"), one)
    return content.getvalue()


def test_an_archive_has_the_values_of_all_its_files(tmp_path, feed):
    path = tmp_path / "pm_1.zip"
    second = collection(data(info(value("3", "2"), value("1")), element="ManagedElement=gnb2"))
    path.write_bytes(packed(a_xml=SOUND.encode(), b__c_xml_gz=gzip.compress(second.encode())))
    assert read_alike(path, feed, "cell, counter, value") == (
        [("gnb1/7", "Att", 5), ("gnb1/7", "Succ", 4), ("gnb2/7", "Att", 3), ("gnb2/7", "Succ", 2)],
        [(5, "counter", "comes twice for this object and period", f"{CELL} Att 1")],
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (packed(a_xml=SOUND.encode())[:-30], "is a damaged archive: File is not a zip file"),
        (
            packed(a_xml=SOUND.encode(), b_xml=SOUND[:-40].encode()),
            "holds b.xml, which ends too early",
        ),
        (packed(a_txt=b"hello"), "holds a.txt, which is no XML: syntax error"),
        (
            packed(a_xml_gz=gzip.compress(SOUND.encode())[:-9]),
            "holds a.xml.gz, which is damaged: Compressed file ended before",
        ),
        (packed(a_xml=b" " * 80 * 2**20), "holds a.xml, which unpacks to more than 67,108,864 bytes"),
    ],
)
def test_a_damaged_archive_fails_with_its_reason(tmp_path, feed, content, reason):
    path = tmp_path / "pm_1.zip"
    path.write_bytes(content)
    with duckdb.connect() as connection, pytest.raises(FileError) as error:
        Reader(connection).read(path, feed)
    assert f"{error.value}".startswith(reason)


def test_a_packed_file_is_read_as_it_is_unpacked(tmp_path, feed):
    path = tmp_path / "pm_1.xml.gz"
    path.write_bytes(gzip.compress(SOUND.encode()))
    assert read_alike(path, feed, "cell, counter, value, suspect") == (TWO, [])


@pytest.mark.parametrize(
    ("element", "name", "of", "cell"),
    [
        ("ManagedElement=gnb1", "GNBDUFunction=1,NRCellDU=7", "NRCellDU", "gnb1/7"),
        ("SubNetwork=North,ManagedElement=gnb1", "NRCellCU=7", "NRCellCU", "North/gnb1/7"),
        ("", "SubNetwork=North,ManagedElement=gnb1,ENBFunction=1,EUtranCellFDD=3", "EUtranCellFDD", "North/gnb1/3"),
        ("ManagedElement=gnb1", "ManagedElement=gnb1,NRCellDU=7", "NRCellDU", "gnb1/7"),
        ("gnb1", "NRCellDU = 7", "NRCellDU", "gnb1/7"),
        ("ManagedElement=gnb1", "NRCellCU=7,NRCellRelation=9", "NRCellRelation", ""),
        ("ManagedElement=gnb1", "", "", ""),
        ("ManagedElement=gnb1", "a cell", "", ""),
    ],
)
def test_an_object_is_a_cell_if_the_last_part_of_its_name_says_so(element, name, of, cell):
    found = object_of(element, name)
    assert (found.of, found.cell) == (of, cell)


def test_columns_may_be_parts_of_the_object_and_come_in_any_order():
    names = "value vendor label object.NRCellDU object.NRCellCU|object.GNBDUFunction counter"
    assert rows_of(SOUND.encode(), names) == [b"5\tAcme\tHill\t7\t1\tAtt", b"4\tAcme\tHill\t7\t1\tSucc"]


def test_a_column_of_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"^has no 'cells': columns are named vendor, element, .* or object\.CLASS$"):
        rows_of(SOUND.encode(), "value cells")


@pytest.mark.parametrize("make", [value, lambda *results: listed(" ".join(results))])
@pytest.mark.parametrize("comment", ["", "<!-- all of it by expat -->"])
@pytest.mark.parametrize(
    ("counters", "rows"),
    [
        (["*"], [b"Att\t5", b"Succ\t4", b"Fail.1\t1", b"Fail.2\t0"]),
        (["Succ", "Fail.*"], [b"Succ\t4", b"Fail.1\t1", b"Fail.2\t0"]),
        (["Fail"], []),
    ],
)
def test_counters_that_are_not_named_are_passed_over(make, comment, counters, rows):
    names = ["Att", "Succ", "Fail.1", "Fail.2"]
    types = comment + "".join(f'<measType p="{place}">{name}</measType>' for place, name in enumerate(names, 1))
    found = rows_of(whole(make("5", "4", "1", "0"), types=types).encode(), "counter value", counters=counters)
    assert found == rows


def test_of_a_counter_that_is_passed_over_nothing_is_odd():
    text = whole(value("5", "4", "3"), value("5", "4"), raw('<r p="2">4</r><r p="1">9</r>', CELL_8))
    found = rows_of(text.encode(), "object counter value", counters=["Att"])
    assert [one if isinstance(one, bytes) else (one.column, one.text) for one in found] == [
        f"{CELL}\tAtt\t5".encode(),
        ("counter", f"{CELL} 3"),
        ("counter", f"{CELL} Att 5"),
        f"{CELL_8}\tAtt\t9".encode(),
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"counter": ["Att"]}, "it has no option counter: there is counters"),
        ({"counters": "Att"}, "counters must be a list of names, each of which may end in *"),
        ({"counters": []}, "counters must be a list of names"),
        ({"counters": ["Att", 5]}, "counters must be a list of names"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        FORMAT.check(options)
