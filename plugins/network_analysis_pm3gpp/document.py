"""Reads a measurement file piece by piece: its XML becomes lines.

Expat reads all of it but the ``measValue`` elements in the usual form, which are nearly all of a file's bytes: a
regular expression reads those, in a fifth of the time, and expat does not get them. There are none where anything but
tags and text follows the start of the first element (comments, CDATA, instructions), in other encodings than UTF-8,
and where names without a prefix are in another namespace.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.parsers import expat

from network_analysis_pm3gpp.counters import LISTED, Counters
from network_analysis_pm3gpp.lines import Lines

# No element of a measurement file is as long or as deep, and no object has as many values.
LONGEST, DEEPEST, MOST_VALUES = 16 * 2**20, 100, 100_000
# A plain measValue is not as long: what is longer, expat reads while it comes.
LONGEST_PLAIN = 2**18
_BEGIN, _END = b"<measValue", b"</measValue>"
_NOT_PLAIN = re.compile(rb"<[!?]")
_TAG = re.compile(rb"<[^<>\"']*(?:(?:\"[^<\"]*\"|'[^<']*')[^<>\"']*)*>[ \t\r\n]*")
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.0+)?S)?)?")
# Expat's errors for a document of which the end is missing.
_CUT_OFF = frozenset(
    expat.errors.codes[error]
    for error in (
        *(expat.errors.XML_ERROR_NO_ELEMENTS, expat.errors.XML_ERROR_UNCLOSED_TOKEN),
        *(expat.errors.XML_ERROR_PARTIAL_CHAR, expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION),
    )
)
_COLLECTION = "measCollecFile"
# The elements that are read, each with the one that it stands in. Others, and what they hold, are passed over.
_WITHIN = {
    **dict.fromkeys(["fileHeader", "measData"], _COLLECTION),
    **dict.fromkeys(["managedElement", "measInfo"], "measData"),
    **dict.fromkeys(["granPeriod", "measType", "measTypes", "measValue"], "measInfo"),
    **dict.fromkeys(["r", "measResults", "suspect"], "measValue"),
}


class Document:
    """The state of reading one document into ``lines``. Raises ValueError if it is no measurement file, or damaged.

    ``is_kept`` returns True for the counters whose values become rows.
    """

    def __init__(self, lines: Lines, is_kept: Callable[[str], bool]):
        self.lines, self.is_kept = lines, is_kept
        lines.begin()
        # What is not read yet, and the numbers of bytes that expat got, and did not get.
        self.rest, self.fed, self.cut = b"", 0, 0
        # Where the first element begins, and True while all that follows is tags and text.
        self.begun, self.is_plain = -1, True
        # True if what was read last ends with a tag.
        self.is_after_tag = False
        self.namespace: str | None = None
        self.stack: list[str] = []
        self.text: list[str] = []
        self.names: list[tuple[str, str]] = []
        self.counters: Counters | None = None
        self.known: dict[tuple[tuple[str, str], ...], Counters] = {}
        self.object = self.suspect = self.position = ""
        self.values: list[tuple[str, str]] = []
        self.are_listed = self.has_period = False
        # No name or address has a line end.
        parser = self.parser = expat.ParserCreate(namespace_separator="\n")
        parser.namespace_prefixes = parser.buffer_text = True
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        parser.XmlDeclHandler = self._declared
        # Entities may stand for any amount of text, and for files of this machine.
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self.text.append
        self.starts: dict[str, Callable[[dict[str, str]], None]] = {
            "fileHeader": self._start_header,
            "measData": self._start_data,
            "managedElement": self._start_element,
            "measInfo": self._start_info,
            "granPeriod": self._start_period,
            "measType": self._start_position,
            "measValue": self._start_object,
            "r": self._start_position,
        }
        self.ends: dict[str, Callable[[str], None]] = {
            "measType": self._end_counter,
            "measTypes": self._end_counters,
            "r": self._end_value,
            "measResults": self._end_values,
            "suspect": self._end_suspect,
            "measValue": self._end_object,
        }

    def feed(self, data: bytes) -> None:
        """Read the next piece of the document."""
        text, place = self.rest + data, 0
        if self.begun < 0:
            place = max(text.find(b"<measInfo"), 0) or len(text)
            before = self.fed
            self._parse(text[:place])
            self._check_plain(text[max(self.begun - before, 0) :])
        else:
            self._check_plain(text)
        while self.begun >= 0 and self.is_plain and (begin := text.find(_BEGIN, place)) >= 0:
            if self._is_at_object(text[place:begin]) and (end := self._read_plain(text, begin)) > begin:
                place, self.is_after_tag = end, True
                continue
            end = text.find(_END, begin) + len(_END)
            if end < len(_END):
                if len(text) - begin < LONGEST_PLAIN:
                    self.rest = text[begin:]
                    return
                end = begin + len(_BEGIN)
            self._parse(text[begin:end])
            place, self.is_after_tag = end, text.endswith(_END, begin, end)
        # What may be the beginning of the next object.
        end = max(len(text) - len(_BEGIN), place)
        if end > place:
            self._parse(text[place:end])
            self.is_after_tag = False
        self.rest = text[end:]

    def close(self) -> None:
        """Read the end of the document."""
        self._parse(self.rest)
        self._parse(b"", True)

    def _parse(self, text: bytes, is_end: bool = False) -> None:
        self.fed += len(text)
        try:
            self.parser.Parse(text, is_end)
        except expat.ExpatError as error:
            if is_end and error.code in _CUT_OFF:
                raise ValueError("ends too early") from None
            place = self.parser.ErrorByteIndex + self.cut
            raise ValueError(f"is no XML: {expat.ErrorString(error.code)} at byte {place:,}") from None
        held = sum(map(len, self.text)) if self.text else 0
        if max(held, self.fed - self.parser.CurrentByteIndex) > LONGEST:
            raise ValueError(f"has an element of more than {LONGEST:,} bytes")

    def _check_plain(self, text: bytes) -> None:
        if self.is_plain and _NOT_PLAIN.search(text):
            self.is_plain = False

    def _is_at_object(self, text: bytes) -> bool:
        """Parse the text before a ``<measValue``; return True if that is the start tag of an object."""
        before = self.fed
        self._parse(text)
        last = text.rfind(b"<")
        if last < 0:
            is_after_tag = self.is_after_tag and not text.strip(b" \t\r\n")
        else:
            # Expat may not have read what it has, if that does not end with a tag.
            is_after_tag = bool(_TAG.fullmatch(text, last)) and self.parser.CurrentByteIndex >= before + last
        return is_after_tag and self.is_plain and self.stack[-1:] == ["measInfo"]

    def _read_plain(self, text: bytes, begin: int) -> int:
        """Read objects in the usual form; return where they end."""
        counters, end = self._counters(), begin
        if not counters.are_plain:
            return begin
        add, names = self.lines.add, counters.names
        for match in (counters.pattern.match, LISTED.match):
            while found := match(text, end):
                name, *values, suspect = found.groups()
                if match == LISTED.match:
                    values = values[0].split()
                    if len(values) != len(names):
                        break
                    values = [values[place] for place in counters.kept]
                add(name.decode(), suspect.decode() if suspect else "false", counters, values)
                end = found.end()
            if end > begin:
                break
        self.cut += end - begin
        return end

    def _counters(self) -> Counters:
        if self.counters is None:
            if not self.has_period:
                self.lines.set(end="", seconds="")
            names = tuple(self.names)
            self.counters = self.known.get(names)
            if self.counters is None:
                positions, counters = (tuple(one[part] for one in names) for part in (0, 1))
                kept = tuple(place for place, name in enumerate(counters) if self.is_kept(name))
                self.counters = self.known[names] = Counters(positions, counters, kept)
        return self.counters

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        self.is_plain = encoding is None or encoding.lower() in ("utf-8", "us-ascii")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        *namespace, name = tag.split("\n")[:2]
        where = namespace[0] if namespace else ""
        if self.namespace is None:
            if name != _COLLECTION:
                raise ValueError(f"is no measurement file: its first element is {name}, not {_COLLECTION}")
            self.namespace, self.begun = where, self.parser.CurrentByteIndex
        elif where != self.namespace or _WITHIN.get(name) != self.stack[-1]:
            name = ""
        if tag.count("\n") == 2 and where == self.namespace:
            self.is_plain = False
        if len(self.stack) == DEEPEST:
            raise ValueError(f"has more than {DEEPEST} elements within each other")
        self.stack.append(name)
        self.text.clear()
        if start := self.starts.get(name):
            start(attributes)

    def _end(self, tag: str) -> None:
        if end := self.ends.get(self.stack.pop()):
            end("".join(self.text).strip())
        self.text.clear()

    def _start_header(self, attributes: dict[str, str]) -> None:
        self.lines.set(vendor=attributes.get("vendorName", ""))

    def _start_data(self, attributes: dict[str, str]) -> None:
        self.lines.set(element="", label="")

    def _start_element(self, attributes: dict[str, str]) -> None:
        self.lines.set(element=attributes.get("localDn", ""), label=attributes.get("userLabel", ""))

    def _start_info(self, attributes: dict[str, str]) -> None:
        self.has_period = False
        self.names, self.counters = [], None

    def _start_period(self, attributes: dict[str, str]) -> None:
        self.has_period = True
        self.lines.set(end=attributes.get("endTime", ""), seconds=_seconds(attributes.get("duration", "")))

    def _start_position(self, attributes: dict[str, str]) -> None:
        self.position = attributes.get("p", "").strip()

    def _start_object(self, attributes: dict[str, str]) -> None:
        self.object, self.suspect = attributes.get("measObjLdn", ""), "false"
        self.values, self.are_listed = [], False

    def _end_counter(self, text: str) -> None:
        self._add_counters([(self.position, text)])

    def _end_counters(self, text: str) -> None:
        self._add_counters(_numbered(text))

    def _add_counters(self, names: list[tuple[str, str]]) -> None:
        self.names += names
        self.counters = None
        if len(self.names) > MOST_VALUES:
            raise ValueError(f"has more than {MOST_VALUES:,} counters in a measInfo")

    def _end_value(self, text: str) -> None:
        self._add_values([(self.position, text)])

    def _end_values(self, text: str) -> None:
        self.are_listed = True
        self._add_values(_numbered(text))

    def _add_values(self, values: list[tuple[str, str]]) -> None:
        self.values += values
        if len(self.values) > MOST_VALUES:
            raise ValueError(f"has more than {MOST_VALUES:,} values of an object")

    def _end_suspect(self, text: str) -> None:
        self.suspect = text or "false"

    def _end_object(self, text: str) -> None:
        self.lines.add_each(self.object, self.suspect, self._counters(), self.values, self.are_listed)


def _numbered(text: str) -> list[tuple[str, str]]:
    """Return the words of a list with their positions, from 1."""
    return [(f"{place}", word) for place, word in enumerate(text.split(), 1)]


def _seconds(duration: str) -> str:
    """Return a duration of ISO 8601, such as PT15M, in seconds; "" if it is none."""
    found = _DURATION.fullmatch(duration.strip())
    if found is None or not any(found.groups()):
        return ""
    days, hours, minutes, seconds = (int(one or 0) for one in found.groups())
    return f"{((days * 24 + hours) * 60 + minutes) * 60 + seconds}"


def _refuse_doctype(*told: object) -> None:
    raise ValueError("has a document type, which may define entities without end: it is not read")
