"""3GPP measurement files, and how tests read them."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

from kpis.catalog.plugin_formats import Refusal
from network_analysis_pm3gpp.measurements import FORMAT

NAMESPACE = "http://www.3gpp.org/ftp/specs/archive/32_series/32.435#measCollec"
PERIOD = '<granPeriod duration="PT900S" endTime="2026-03-01T14:15:00+02:00"/>'
ATTEMPTS = '<measType p="1">Att</measType><measType p="2">Succ</measType>'
CELL, CELL_8 = "GNBDUFunction=1,NRCellDU=7", "GNBDUFunction=1,NRCellDU=8"


def collection(body: str, head: str = f'<measCollecFile xmlns="{NAMESPACE}">', end: str = "</measCollecFile>") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{head}<fileHeader fileFormatVersion="32.435 V10.0" vendorName="Acme">'
        f'<measCollec beginTime="2026-03-01T14:00:00+02:00"/></fileHeader>{body}'
        f'<fileFooter><measCollec endTime="2026-03-01T14:15:00+02:00"/></fileFooter>{end}'
    )


def data(*infos: str, element: str = "ManagedElement=gnb1") -> str:
    return f'<measData><managedElement localDn="{element}" userLabel="Hill"/>{"".join(infos)}</measData>'


def info(*values: str, types: str = ATTEMPTS, period: str = PERIOD) -> str:
    return f'<measInfo measInfoId="A"><job jobId="5"/>{period}{types}{"".join(values)}</measInfo>'


def value(*results: str, of: str = CELL, also: str = "") -> str:
    """An object with its values, whose ``p`` are 1, 2..."""
    numbered = "".join(f'<r p="{place}">{result}</r>' for place, result in enumerate(results, 1))
    return f'<measValue measObjLdn="{of}">{numbered}{also}</measValue>'


def raw(content: str, of: str = CELL) -> str:
    return f'<measValue measObjLdn="{of}">{content}</measValue>'


def listed(results: str, of: str = CELL, also: str = "") -> str:
    return raw(f"<measResults>{results}</measResults>{also}", of)


def whole(*values: str, **given: str) -> str:
    """A file with one list of counters."""
    return collection(data(info(*values, **given)))


def rows_of(content: bytes, names: str, pieces: int = 2**16, **options: Any) -> list[bytes | Refusal]:
    """The lines and refusals of a file that is read so many bytes at a time."""
    whole_file = io.BytesIO(content)
    file = SimpleNamespace(read=lambda size: whole_file.read(min(size, pieces)))
    columns = [SimpleNamespace(names_in_files=tuple(name.split("|"))) for name in names.split()]
    found: list[bytes | Refusal] = []
    for row in FORMAT.rows(file, columns, options):  # type: ignore[arg-type]  # as much as it uses
        found += row.splitlines() if isinstance(row, bytes) else [row]
    return found
