"""Sample data: files of realistic traffic; the same seed gives the same bytes on every machine.

Each feed has a module and one entry in ``SAMPLES``.
"""

from __future__ import annotations

from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.builtin.coverage import COVERAGE
from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.sample import antenna, cdr, coverage, ipflow
from kpis.sample.files import BAD_OF, Columns, Sample, make_files, write_file

__all__ = ["BAD_OF", "SAMPLES", "Columns", "Sample", "make_files", "write_file"]

SAMPLES = {
    sample.feed.name: sample
    for sample in (
        Sample(IPFLOW, ipflow.file_name, ipflow.flows),
        Sample(ANTENNA, antenna.file_name, antenna.messages, antenna.subscribers),
        Sample(COVERAGE, coverage.file_name, coverage.logs),
        Sample(CDR, cdr.file_name, cdr.calls),
    )
}
