"""``manage.py doctor``: check the installation, and print how to fix what is wrong."""

from __future__ import annotations

import sys
from typing import Any

from django.utils import timezone

from kpis.health.doctor import examine
from kpis.management.output import AnswerCommand
from kpis.store.dialects import Verdict


class Command(AnswerCommand):
    help = (
        "Checks settings, database, lake, data folder, clocks and schedule, one line each: ok, note, or mend with "
        "what to do. Ends with 1 if something must be fixed. Changes nothing."
    )

    def handle(self, **options: Any) -> None:
        findings = []
        for finding in examine(timezone.now()):
            self.stdout.write(str(finding))
            findings.append(finding)
        if any(finding.verdict is Verdict.MEND for finding in findings):
            sys.exit(1)
