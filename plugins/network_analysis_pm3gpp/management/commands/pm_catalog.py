"""``manage.py pm_catalog``: a catalog file of 3GPP counters and their KPIs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import network_analysis_pm3gpp
from kpis.management.output import AnswerCommand

FILE = Path(network_analysis_pm3gpp.__file__).with_name("pm.toml")


class Command(AnswerCommand):
    help = (
        "Prints a catalog file with a feed of 3GPP measurement files and the KPIs of TS 32.450 and TS 28.554, to be "
        "saved, changed as it is needed, and named in CATALOG."
    )

    def handle(self, **options: Any) -> None:
        self.stdout.write(FILE.read_text(encoding="utf-8"), ending="")
