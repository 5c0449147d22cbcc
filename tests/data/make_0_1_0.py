"""Makes ``0.1.0.tar.gz``: the ledger's rows and the lake that release 0.1.0 left of the files of ``release.py``.

It ran once, in a checkout of that release (commit 45a32ff), with this folder's ``release.py`` beside it::

    PYTHONPATH=.:FOLDER DATABASE_URL=sqlite:////tmp/old.sqlite3 python FOLDER/make_0_1_0.py /tmp/0.1.0.tar.gz
"""

import io
import json
import os
import sys
import tarfile
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "network_analysis.settings")

import django

django.setup()

from django.apps import apps  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

# What is not the history's: the map comes with the migrations, live counts are of a minute.
LEFT_OUT = {"Region", "LiveCount", "LiveFeed", "StreamConsumer", "Subscriber", "QuotaChange"}


def plain(value):
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ") if isinstance(value, datetime) else value


def main() -> None:
    import release

    from kpis import pipeline
    from kpis.catalog.builtin.antenna import ANTENNA
    from kpis.models import Run
    from kpis.sources.spool import Spool
    from kpis.store.ledger import DatabaseLedger

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings.DATA_DIR, settings.LAKE_DIR = folder / "data", folder / "lake"
        settings.DATA_DIR.mkdir()
        call_command("migrate", verbosity=0)
        for file, content in release.contents().items():
            (settings.DATA_DIR / file).write_bytes(content)
            os.utime(settings.DATA_DIR / file, (release.START, release.START))
        with suppress(SystemExit):
            # One file fails.
            call_command("update_network_stats", verbosity=0)
        run = Run.objects.create(started_at=timezone.now(), ended_at=timezone.now(), outcome="succeeded", process=1)
        with pipeline.engine(settings.LAKE_DIR) as engine:
            spool = Spool(ANTENNA, folder / "messages")
            lines = [record.line().encode() for record in release.MESSAGES]
            spool.add(list(range(len(lines))), lines)
            options = pipeline.Options(max_reject_ratio=1)
            with pipeline.prepare(spool.messages("calls", 0, None), engine, options) as one:
                list(pipeline.run_prepared([one], DatabaseLedger(run), engine, options))
        # Compacts what closed, and writes the hour under way.
        call_command("update_network_stats", rollup_open_hours=True, verbosity=0)
        tables = {}
        for model in apps.get_app_config("kpis").get_models():
            if model.__name__ not in LEFT_OUT:
                columns = [field.column for field in model._meta.concrete_fields]
                names = [field.attname for field in model._meta.concrete_fields]
                rows = [[plain(value) for value in row] for row in model.objects.order_by("pk").values_list(*names)]
                tables[model._meta.db_table] = {"columns": columns, "rows": rows}
        with tarfile.open(sys.argv[1], "w:gz") as tar:
            text = json.dumps(tables).encode()
            entry = tarfile.TarInfo("rows.json")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
            tar.add(settings.LAKE_DIR, "lake")


main()
