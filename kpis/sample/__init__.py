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
from kpis.sample.pm import MeasurementFiles

__all__ = ["BAD_OF", "MAKERS", "SAMPLES", "Columns", "Sample", "make_files", "write_file"]

SAMPLES = {
    sample.feed.name: sample
    for sample in (
        Sample(IPFLOW, ipflow.file_name, ipflow.flows),
        Sample(ANTENNA, antenna.file_name, antenna.messages, antenna.subscribers),
        Sample(COVERAGE, coverage.file_name, coverage.logs),
        Sample(CDR, cdr.file_name, cdr.calls),
    )
}

# What makes files, by the feed's name: that of the samples, and of what is no feed unless a catalog file declares it.
MAKERS: dict[str, Sample | MeasurementFiles] = {**SAMPLES, "pm": MeasurementFiles()}
