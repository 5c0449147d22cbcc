"""Sample measurement files as 3GPP TS 32.435 describes them: counters of NR and LTE cells over the day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from kpis.catalog.intervals import FIFTEEN_MINUTES, Interval, to_milliseconds
from kpis.sample.california import LOCAL_TIME
from kpis.sample.chance import below, bits, feed_words
from kpis.sample.day import DAY_CURVE
from kpis.sample.files import BAD_OF, Columns, write_text

NAME = "pm"
NAMESPACE = "http://www.3gpp.org/ftp/specs/archive/32_series/32.435#measCollec"
PERIOD = FIFTEEN_MINUTES.minutes * 60
# One of so many objects is suspect, and one of so many cells was out of service for a while.
SUSPECT_OF, DOWN_OF = 500, 200


@dataclass(frozen=True)
class MeasurementFiles:
    """Makes files of one granularity period each, with a gNB and an eNB; see ``Sample``."""

    name: str = NAME
    span = FIFTEEN_MINUTES
    subscribers = None

    def make(
        self, folder: Path, start: datetime, intervals: int, rows: int, seed: int, files: int = 1, bad: int = 0
    ) -> Iterator[Path]:
        """Yield the path of each file written; ``rows`` are the values of an interval, and the same all day."""
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(intervals):
            interval = self.span.at(start + number * self.span.delta)
            for file in range(1, files + 1):
                path = folder / file_name(interval, file)
                # Both kinds of cells have as many counters, but for a few.
                cells = max(1, rows // files // (len(_nr(_Draws.none())) + len(_lte(_Draws.none()))))
                write_text(path, _document(interval, file, cells, seed, bad))
                yield path


def file_name(interval: Interval, number: int) -> str:
    """Return ``C20210718.1900+0000-1915+0000_1.xml``: TS 32.432 has C for several elements and one period."""
    return f"C{interval.start:%Y%m%d.%H%M}+0000-{interval.end:%H%M}+0000_{number}.xml"


@dataclass(frozen=True)
class _Draws:
    """Random numbers of the cells of an element: ``load`` in per cent, others as ``of`` gives them."""

    load: np.ndarray
    words: np.ndarray

    @staticmethod
    def none() -> _Draws:
        return _Draws(np.zeros(0, dtype=np.int64), np.zeros((0, 32), dtype=np.uint64))

    def of(self, column: int, limit: int) -> np.ndarray:
        """Return whole numbers from 0 up to the limit (excluded), one for each cell, by the column of words."""
        return below(limit, bits(self.words[:, column], 8, 24), 24)

    def less(self, column: int, tried: np.ndarray, failing: int) -> np.ndarray:
        """Return how many of what was tried succeeded; ``failing`` of 1000 do not, or up to twice as many."""
        return tried - np.minimum(tried, tried * self.of(column, 2 * failing + 1) // 1000)


def _document(interval: Interval, file: int, cells: int, seed: int, bad: int) -> Iterator[str]:
    words = feed_words(
        NAME, seed, (to_milliseconds(interval.start) // FIFTEEN_MINUTES.milliseconds + 1) * 10_000 + file
    )
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<measCollecFile xmlns="{NAMESPACE}">\n'
    yield '<fileHeader fileFormatVersion="32.435 V10.0" vendorName="Sample" dnPrefix="SubNetwork=Sample">\n'
    yield f'<measCollec beginTime="{interval.start:%Y-%m-%dT%H:%M:%S}Z"/>\n</fileHeader>\n'
    for kind, function, counters in (
        ("gnb", "GNBDUFunction=1,NRCellDU", _nr),
        ("enb", "ENBFunction=1,EUtranCellFDD", _lte),
    ):
        # Cells differ from each other in the same way in every interval.
        own = feed_words(f"{NAME} {kind}", seed, file).random_raw(cells)
        load = np.maximum(1, _day(interval) * (40 + below(80, bits(own, 0, 16), 16)) // 100)
        draws = _Draws(np.minimum(load, 100), words.random_raw(cells * 32).reshape(cells, 32))
        yield f'<measData>\n<managedElement localDn="SubNetwork=Sample,ManagedElement={kind}{file}"/>\n'
        yield from _info(interval, function, counters(draws), draws, kind == "enb", bad)
        yield "</measData>\n"
    yield f'<fileFooter>\n<measCollec endTime="{interval.end:%Y-%m-%dT%H:%M:%S}Z"/>\n</fileFooter>\n</measCollecFile>\n'


def _day(interval: Interval) -> int:
    """Return the traffic of an interval's start, in per cent of the busiest hour."""
    local = interval.start.astimezone(LOCAL_TIME)
    here, next_hour = DAY_CURVE[local.hour], DAY_CURVE[(local.hour + 1) % 24]
    return (here * (60 - local.minute) + next_hour * local.minute) // 60


def _info(
    interval: Interval, function: str, counters: Columns, draws: _Draws, are_listed: bool, bad: int
) -> Iterator[str]:
    """Yield the values of an element's cells: in lists, or each by itself."""
    end = f"{interval.end:%Y-%m-%dT%H:%M:%S}Z"
    yield f'<measInfo measInfoId="cells">\n<granPeriod duration="PT{PERIOD}S" endTime="{end}"/>\n'
    if are_listed:
        yield f"<measTypes>{' '.join(counters)}</measTypes>\n"
    else:
        yield from (f'<measType p="{place}">{name}</measType>\n' for place, name in enumerate(counters, 1))
    suspects = (draws.of(30, SUSPECT_OF) == 0).tolist()
    rows = zip(*(values.tolist() for values in counters.values()), strict=True)
    for cell, (row, is_suspect) in enumerate(zip(rows, suspects, strict=True), 1):
        spoilt = bits(draws.words[cell - 1], 40, 20)
        words = [
            "?" if below(BAD_OF, spoilt[place : place + 1], 20)[0] < bad else f"{value}"
            for place, value in enumerate(row)
        ]
        yield f'<measValue measObjLdn="{function}={cell}">\n'
        if are_listed:
            yield f"<measResults>{' '.join(words)}</measResults>\n"
        else:
            yield "".join(f'<r p="{place}">{word}</r>\n' for place, word in enumerate(words, 1))
        yield ("<suspect>true</suspect>\n" if is_suspect else "") + "</measValue>\n"
    yield "</measInfo>\n"


def _nr(draws: _Draws) -> Columns:
    """Return the counters of NR cells, of TS 28.552."""
    load = draws.load
    attempts = load * 9 + draws.of(0, 60)
    connected = draws.less(1, attempts, 8)
    signalling = draws.less(2, connected, 3)
    bearers = signalling + draws.of(3, 40)
    set_up = draws.less(4, bearers, 5)
    sessions = set_up * (20 + draws.of(5, 30))
    within, between = load * 2 + draws.of(6, 30), load + draws.of(7, 20)
    return {
        "RRC.ConnEstabAtt.sum": attempts,
        "RRC.ConnEstabSucc.sum": connected,
        "UECNTX.ConnEstabAtt.sum": connected,
        "UECNTX.ConnEstabSucc.sum": signalling,
        "DRB.EstabAtt.sum": bearers,
        "DRB.EstabSucc.sum": set_up,
        "QF.RelActNbr.sum": draws.of(8, 5),
        "QF.SessionTimeUE": sessions,
        "DRB.RelActNbr.sum": draws.of(9, 4),
        "DRB.SessionTime.sum": sessions,
        "MM.HoExeIntraReq": within,
        "MM.HoExeIntraSucc": draws.less(10, within, 12),
        "MM.HoPrepInterReq": between,
        "MM.HoExeInterSucc": draws.less(11, between, 25),
        # A cell in use gives each of its users less.
        "DRB.UEThpDl": 160_000 - load * 1_300 + draws.of(12, 9_000),
        "DRB.UEThpUl": 30_000 - load * 240 + draws.of(13, 2_000),
        "RRU.PrbTotDl": np.minimum(100, load * 8 // 10 + draws.of(14, 12)),
        "RRU.PrbTotUl": np.minimum(100, load * 4 // 10 + draws.of(15, 9)),
    }


def _lte(draws: _Draws) -> Columns:
    """Return the counters of LTE cells, of TS 32.425."""
    load = draws.load
    attempts = load * 12 + draws.of(0, 80)
    connected = draws.less(1, attempts, 10)
    signalling = draws.less(2, connected, 4)
    bearers = draws.less(3, signalling, 6)
    added = load * 3 + draws.of(4, 20)
    within, between = load * 2 + draws.of(5, 30), load * 2 + draws.of(6, 20)
    down, up = load * 700 + draws.of(7, 4_000), load * 300 + draws.of(8, 2_000)
    is_down = draws.of(9, DOWN_OF) == 0
    return {
        "RRC.ConnEstabAtt.sum": attempts,
        "RRC.ConnEstabSucc.sum": connected,
        "S1SIG.ConnEstabAtt": connected,
        "S1SIG.ConnEstabSucc": signalling,
        "ERAB.EstabInitAttNbr.sum": signalling,
        "ERAB.EstabInitSuccNbr.sum": bearers,
        "ERAB.EstabAddAttNbr.sum": added,
        "ERAB.EstabAddSuccNbr.sum": draws.less(10, added, 7),
        "ERAB.RelActNbr.sum": draws.of(11, 7),
        "ERAB.SessionTimeUE": bearers * (15 + draws.of(12, 25)),
        "HO.IntraEnbOutAtt.sum": within,
        "HO.IntraEnbOutSucc.sum": draws.less(13, within, 12),
        "HO.InterEnbOutAtt.sum": between,
        "HO.InterEnbOutSucc.sum": draws.less(14, between, 25),
        "RRU.CellUnavailableTime.sum": np.where(is_down, 1 + draws.of(15, PERIOD), 0),
        # In kbit and ms.
        "DRB.IPVolDl.sum": down * (20_000 - load * 150) // 1_000,
        "DRB.IPTimeDl.sum": down,
        "DRB.IPVolUl.sum": up * (6_000 - load * 45) // 1_000,
        "DRB.IPTimeUl.sum": up,
        "RRU.PrbTotDl": np.minimum(100, load * 8 // 10 + draws.of(16, 12)),
        "RRU.PrbTotUl": np.minimum(100, load * 4 // 10 + draws.of(17, 9)),
    }
