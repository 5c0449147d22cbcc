"""What the columns of a sample hold: type, unit, and whether they are times, ids, measures or personal.

A type fits a column if nearly all of its texts are accepted by the type's own parser, so that a guess means what the
feed then does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from kpis.catalog.columns import (
    UUID,
    BadValue,
    Boolean,
    ColumnType,
    Date,
    Decimal,
    FormattedTimestamp,
    Integer,
    ISOTimestamp,
    Text,
    TimeOfDay,
)
from kpis.describe.samples import Sample

# Shorter than a column's name may be, so that average_NAME is none too long.
LONGEST_NAME = 30
# So many of a column's texts must be accepted; the others are rejects then.
ENOUGH = 0.95
# The values of a column with so few are listed.
MOST_LISTED = 6
# Unix times of these years, in units a second.
_FROM, _UNTIL = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2000, 2060))
# Not also the words 0 and 1, which may be numbers, nor yes and no, which may be two of more words.
TRUE_OR_FALSE = Boolean(true=("true",), false=("false",))
UNIX = {"unix_s": 1, "unix_ms": 10**3, "unix_us": 10**6}
LAYOUTS: tuple[str, ...] = (
    "iso",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%Y%m%d%H%M%S",
    "%b %d %Y %H:%M:%S",
    "%d %b %Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
)
# Words of names, in lower case.
_TIMES = {
    "time",
    "timestamp",
    "ts",
    "date",
    "datetime",
    "begin",
    "start",
    "end",
    "period",
    "moment",
    "when",
    "interval",
}
_PERSONS = {
    "imsi", "imei", "imeisv", "msisdn", "email", "mail", "phone", "subscriber", "user", "person", "customer", "name",
    "iccid", "supi", "gpsi", "calling", "called", "caller", "callee", "pn", "username",
}  # fmt: skip
_IDS = {
    "id",
    "code",
    "number",
    "no",
    "key",
    "cell",
    "cellid",
    "antenna",
    "site",
    "enb",
    "gnb",
    "lac",
    "tac",
    "sector",
    "mcc",
    "mnc",
}
_UNITS = {
    "bytes": "bytes", "octets": "bytes", "byte": "bytes", "kb": "kB", "mb": "MB", "gb": "GB", "bits": "bits",
    "kbps": "kbit/s", "mbps": "Mbit/s", "bps": "bit/s", "dbm": "dBm", "db": "dB", "ms": "ms", "seconds": "s",
    "sec": "s", "secs": "s", "minutes": "min", "percent": "%", "pct": "%", "degrees": "degrees", "meters": "m",
    "metres": "m", "kmh": "km/h",
}  # fmt: skip
_GUESSED_UNITS = {
    "duration": "s", "rsrp": "dBm", "rssi": "dBm", "rsrq": "dB", "sinr": "dB", "latency": "ms", "rtt": "ms",
    "lat": "degrees", "latitude": "degrees", "lon": "degrees", "long": "degrees", "longitude": "degrees",
}  # fmt: skip
# Words of what adds up, and of what is averaged.
_ADDED = {
    "bytes",
    "octets",
    "volume",
    "traffic",
    "count",
    "calls",
    "duration",
    "packets",
    "messages",
    "attempts",
    "failures",
    "drops",
    "seconds",
}
_AVERAGED = {
    "signal",
    "rsrp",
    "rsrq",
    "rssi",
    "sinr",
    "speed",
    "latency",
    "rtt",
    "throughput",
    "quality",
    "precision",
    "load",
    "utilization",
    "cqi",
    "power",
    "delay",
    "jitter",
}


class Role(StrEnum):
    """What a column is good for."""

    TIME = "a time"
    DAY = "a day"
    CLOCK = "a time of day"
    PLACE = "a place"
    PERSON = "identifies a person"
    ADDED = "adds up"
    AVERAGED = "is averaged"
    GROUP = "makes groups"
    OTHER = ""


@dataclass(frozen=True)
class Guess:
    """A guess of one column: its ``name`` in the catalog and ``header`` in the file, its type and what it is good for.

    ``type`` is the type's name in a catalog file, ``keys`` its further keys; ``distinct`` is the number of different
    values, which are in ``seen`` if they are few, and ``doubt`` says what should be looked at.
    """

    name: str
    header: str
    type: str
    role: Role
    keys: dict[str, Any] = field(default_factory=dict)
    unit: str = ""
    distinct: int = 0
    doubt: str = ""
    seen: tuple[str, ...] = ()

    @property
    def optional(self) -> bool:
        return bool(self.keys.get("optional"))


def guess(sample: Sample) -> list[Guess]:
    """Return a guess of each column of a sample."""
    names: list[str] = []
    guesses = []
    for header, texts in sample.columns.items():
        name = _name_of(header, len(names) + 1, names)
        names.append(name)
        found = _guess(name, header, texts, header in sample.quoted)
        if header in sample.lacking:
            found = replace(found, keys=found.keys | {"required": False})
        guesses.append(found)
    return guesses


def words_of(header: str) -> list[str]:
    """Return the words of a name in lower case: ``cellID`` and ``cell_id`` are "cell", "id"; ``Señal`` is "senal"."""
    plain = unicodedata.normalize("NFKD", header).encode("ascii", "ignore").decode()
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", re.sub(r"[\[(].*?[\])]", " ", plain))
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


def _name_of(header: str, number: int, taken: list[str]) -> str:
    name = "_".join(words_of(header))[:LONGEST_NAME].strip("_")
    if not name or not name[0].isalpha():
        name = f"column_{number}_{name}".strip("_")
    return name if name not in taken else f"{name}_{number}"


def _guess(name: str, header: str, texts: Sequence[str], is_quoted: bool) -> Guess:
    filled = [text for text in texts if text]
    words = set(words_of(header))
    distinct = len(set(filled))
    optional = {"optional": True} if len(filled) < len(texts) else {}
    if not filled:
        return Guess(name, header, "text", Role.OTHER, {"optional": True}, doubt="the sample has no value")
    type_, keys = next(_types(words, filled, is_quoted))
    unit = _unit_of(header, words) if type_ in ("integer", "decimal") else ""
    role = _role(type_, words, unit, distinct, len(filled))
    doubt = ""
    if role is Role.TIME and keys.get("format", "").startswith(("%d/%m", "%m/%d")) and distinct:
        doubt = "day and month may be the other way round"
    if type_ == "integer" and role is not Role.PLACE and all(int(text) >= 0 for text in filled if text.isdigit()):
        keys = {"minimum": 0, **keys} if not any(text.startswith("-") for text in filled) else keys
    seen = tuple(sorted(set(filled))) if role is Role.GROUP and type_ == "text" and distinct <= MOST_LISTED else ()
    return Guess(name, header, type_, role, optional | keys, unit, distinct, doubt, seen)


def _types(words: set[str], filled: Sequence[str], is_quoted: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the types that fit, the best first, each with further keys."""
    if _fits(UUID(), filled):
        yield "uuid", {}
    if _fits(TRUE_OR_FALSE, filled):
        yield "boolean", {}
    if not is_quoted:
        if _fits(Integer(minimum=-(2**63)), filled):
            numbers = [int(text) for text in filled if re.fullmatch(r"-?[0-9]{1,18}", text)]
            for format, a_second in UNIX.items():
                if all(_FROM * a_second <= number < _UNTIL * a_second for number in numbers) and words & _TIMES:
                    yield "time", {"format": format}
            # Zeros at the front are lost in a number.
            if not any(re.match(r"-?0[0-9]", text) for text in filled):
                yield "integer", {}
        elif _fits(Decimal(), filled):
            yield "decimal", {}
    if _fits(Date(), filled):
        yield "date", {}
    if _fits(TimeOfDay(), filled):
        yield "time_of_day", {}
    for layout in LAYOUTS:
        if _fits(_time_type(layout), filled):
            yield "time", {"format": layout}
    longest = max(map(len, filled))
    yield "text", {} if longest <= Text().longest else {"longest": min(500, longest * 2)}


def _time_type(layout: str) -> ColumnType:
    return ISOTimestamp() if layout == "iso" else FormattedTimestamp(format=layout)


def _fits(type_: ColumnType, filled: Sequence[str]) -> bool:
    bad, most = 0, int(len(filled) * (1 - ENOUGH))
    for text in filled:
        try:
            type_.parse(text)
        except BadValue:
            bad += 1
            if bad > most:
                return False
    return True


def _unit_of(header: str, words: set[str]) -> str:
    if found := re.search(r"[\[(]([^\])]{1,20})[\])]", header):
        return _UNITS.get(found[1].lower().strip(), found[1].strip())
    for known in (_UNITS, _GUESSED_UNITS):
        for word in words_of(header)[::-1]:
            if word in known:
                return known[word]
    return ""


def _role(type_: str, words: set[str], unit: str, distinct: int, rows: int) -> Role:
    if type_ == "time":
        return Role.TIME
    if type_ == "date":
        return Role.DAY
    if type_ == "time_of_day":
        return Role.CLOCK
    if type_ in ("integer", "decimal") and words & {"lat", "latitude", "lon", "long", "lng", "longitude"}:
        return Role.PLACE
    if words & _PERSONS and not words & {"cell", "service", "app", "operator", "county", "city", "region", "network"}:
        return Role.PERSON
    if type_ in ("integer", "decimal") and not words & _IDS:
        if words & _AVERAGED or unit in ("dBm", "dB", "%", "ms", "kbit/s", "Mbit/s", "bit/s", "km/h", "m"):
            return Role.AVERAGED
        if type_ == "integer" and (words & _ADDED or unit):
            return Role.ADDED
        if type_ == "decimal":
            return Role.AVERAGED
    if type_ in ("text", "choice", "uuid", "integer", "postal_code", "boolean") and distinct < max(rows, 2):
        return Role.GROUP
    if words & _IDS:
        return Role.GROUP
    return Role.OTHER
