"""A fault of this program that one file brings to light does not keep the others from being ingested."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from kpis.models import Batch
from kpis.stages import read
from tests.twin import Flow, expected, stored
from tests.unit.pipeline.test_archives import newest, put

pytestmark = pytest.mark.django_db(transaction=True)

START = 1626566400  # 2021-07-18T00:00:00Z
ODD = "ipflow_data.b.csv"
FILES = {
    f"ipflow_data.{name}.csv": [Flow(START + 300 * number, user, 1, 1, 1, 1) for user in (1, 2)]
    for number, name in enumerate("abc")
}


def update(*args: str) -> tuple[int, str]:
    """Runs the command; returns its exit status and what it says."""
    out = io.StringIO()
    try:
        call_command("update_network_stats", *args, stdout=out, stderr=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def with_fault(monkeypatch, reader: str) -> None:
    """Make the scanner or the bulk reader fail at the odd file; the bulk reader reads what the scanner leaves to it."""

    def scan(path: Path, *given: Any) -> Any:
        if reader == "scanner" and path.name == ODD:
            raise ValueError("odd")
        return None if reader == "bulk reader" else scan_of(path, *given)

    class Reader(read.Reader):
        def read(self, path: Path, *given: Any, **named: Any) -> Any:
            if path.name == ODD:
                raise ValueError("odd")
            return super().read(path, *given, **named)

    scan_of = read.scan
    monkeypatch.setattr(read, "scan", scan)
    monkeypatch.setattr(read, "Reader", Reader)


@pytest.mark.parametrize("reader", ["scanner", "bulk reader"])
@pytest.mark.parametrize("small", [0, read.SMALL_BYTES], ids=["scanned ahead", "scanned in turn"])
def test_the_file_fails_with_its_reason_and_is_ingested_once_it_can_be(data_dir, monkeypatch, reader, small):
    put(data_dir, FILES)
    reason = "cannot be read because of a fault of this program: ValueError: odd"
    with monkeypatch.context() as patch:
        patch.setattr(read, "SMALL_BYTES", small)
        with_fault(patch, reader)
        status, printed = update()
        assert (status, f"failed {ODD}: {reason}" in printed.splitlines()) == (1, True), printed
        assert dict(Batch.objects.values_list("name", "reason")) == dict.fromkeys(FILES, "") | {ODD: reason}
        good = {name: flows for name, flows in FILES.items() if name != ODD}
        assert stored() == expected(good, newest(good))
        # An unchanged file is not tried again.
        assert update()[0] == 0
    assert update("--retry-failed")[0] == 0
    assert stored() == expected(FILES, newest(FILES))
