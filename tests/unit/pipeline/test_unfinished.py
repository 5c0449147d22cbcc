"""Files that are still being written, by their names: skipped, named once per run, and read when they are renamed."""

from __future__ import annotations

import json
import logging.config
import warnings
from pathlib import Path

import pytest
from django.conf import settings as project_settings
from django.core.management import CommandError

from kpis import pipeline
from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.catalog.file_names import FileNames
from kpis.models import Batch, ServiceTrafficVolume
from network_analysis.logs import configuration
from tests.processes import Place
from tests.servers.test_watch import await_ingested, flows, stopped, watching
from tests.twin import Flow, expected, file_text
from tests.unit.management.test_update_network_stats import START, update

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "ipflow_data.ts-1626566700000.1.csv"
TEXT = file_text([Flow(START, 1, 10, 20, service=1, cell=7)])
# As names end under way: of scripts, WinSCP, browsers, rclone and Hadoop; and of files that somebody has dealt with.
UNFINISHED = [
    "inprogress",
    "filepart",
    "crdownload",
    "3c9fb2a1.partial",
    "_COPYING_",
    "done",
    "tmp",
    "part",
    "gz.inprogress",
]
SKIPPED = "skipped as unfinished: {} (names of ipflow files end in .csv or .txt, or as FEED_FILES says)"


@pytest.mark.parametrize("ending", UNFINISHED)
def test_an_upload_under_another_end_is_read_once_and_when_it_has_its_name(data_dir, ending):
    begun = data_dir / f"{NAME}.{ending}"
    begun.write_text(TEXT)
    out = update().splitlines()
    assert out[0] == SKIPPED.format(begun.name)
    assert out[1].startswith("0 files ingested, 0 failed")
    assert not Batch.objects.exists()
    begun.rename(data_dir / NAME)
    assert "skipped" not in update()
    assert ServiceTrafficVolume.objects.get(interval=1).total_bytes == 30


def test_an_upload_into_a_bucket_is_read_once_and_when_it_has_its_name(bucket):
    begun = bucket.Object(f"in/{NAME}.inprogress")
    begun.put(Body=TEXT.encode())
    assert update().splitlines()[0] == SKIPPED.format(f"{NAME}.inprogress")
    assert not Batch.objects.exists()
    bucket.Object(f"in/{NAME}").copy({"Bucket": bucket.name, "Key": begun.key})
    begun.delete()
    assert "skipped" not in update()
    assert ServiceTrafficVolume.objects.get(interval=1).total_bytes == 30


def test_a_watch_names_an_unfinished_file_once_and_reads_it_when_it_has_its_name(place: Place):
    files = flows(0)
    place.put(files)
    begun = place.data / "ipflow_data.1.csv.inprogress"
    begun.write_text(file_text(flows(1)["ipflow_data.1.csv"]))
    # It lists again and again, and names the file the first time alone.
    with watching(place, WATCH_LISTING_SECONDS="1") as process:
        await_ingested(place, 1, process)
        begun.rename(place.data / "ipflow_data.1.csv")
        await_ingested(place, 2, process)
        out, err = stopped(process)
    assert [line for line in (out + err).splitlines() if "skipped" in line] == [SKIPPED.format(begun.name)]
    assert place.stored() == expected(files | flows(1), START + 600)


def test_unfinished_files_are_named_by_feed_and_not_without_end(data_dir):
    for number in range(23):
        (data_dir / f"ipflow_data.{number:02}.csv.inprogress").write_text("")
    (data_dir / "cdr_1.csv.done").write_text("")
    (data_dir / ".ipflow_data.csv.Xy12ab").write_text("")
    names = ", ".join(f"ipflow_data.{number:02}.csv.inprogress" for number in range(20))
    of_cdr = "skipped as unfinished: cdr_1.csv.done (names of cdr files end in .csv or .txt, or as FEED_FILES says)"
    assert update(dry_run=True).splitlines() == [
        of_cdr,
        SKIPPED.format(f"{names} and 3 more"),
        "would ingest 0 files; nothing was changed",
    ]
    assert update(feed="cdr", dry_run=True).splitlines() == [of_cdr, "would ingest 0 files; nothing was changed"]


def test_unfinished_files_are_one_event_of_the_log(data_dir, settings, capsys):
    (data_dir / f"{NAME}.inprogress").write_text("")
    settings.LOG_FORMAT = "json"
    roots = list(logging.root.handlers), logging.root.level
    logging.config.dictConfig(configuration("json", "INFO"))
    try:
        update()
        logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    finally:
        logging.config.dictConfig(project_settings.LOGGING)
        logging.root.handlers, logging.root.level = roots
    (event,) = [line for line in logged if line["event"] == "unfinished files"]
    assert (event["feed"], event["files"], event["names"]) == ("ipflow", 1, [f"{NAME}.inprogress"])
    assert event["level"] == "warning"


def test_a_file_that_is_named_counts_as_finished_where_its_feed_is_named_too(data_dir):
    begun = data_dir / f"{NAME}.done"
    begun.write_text(TEXT)
    with pytest.raises(CommandError, match=r"is that of an unfinished file.* with --feed ipflow") as refused:
        update(str(begun))
    assert refused.value.returncode == 2
    assert "1 files ingested" in update(str(begun), feed="ipflow")


def test_a_notebook_is_warned_of_unfinished_files(data_dir: Path):
    (data_dir / f"{NAME}.inprogress").write_text(TEXT)
    with pytest.warns(UserWarning, match=r"skipped as unfinished: ipflow_data.*inprogress"):
        assert pipeline.compute(data_dir)["ServiceTrafficVolume"].empty
    (data_dir / f"{NAME}.inprogress").rename(data_dir / NAME)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not pipeline.compute(data_dir)["ServiceTrafficVolume"].empty


@pytest.mark.parametrize(
    ("name", "is_finished"),
    [
        ("flows.1.csv", True),
        ("flows.1.TXT.GZ", True),
        ("flows.1.csv.zst", True),
        ("flows.1.csv.bz2", False),
        ("flows.1.dat", False),
        ("flows.1.csv\n", False),
        ("dump.dat", True),
        ("dump.dat.gz", True),
        ("dump.dat.gz.tmp", False),
        ("dump.csv", None),
        ("any.1.tmp", True),
    ],
)
def test_a_pattern_with_an_end_takes_just_that_and_one_without_the_feeds_ends(name, is_finished):
    names = FileNames({"flows.*": "ipflow", "dump.dat": "ipflow", "any.*?": "cdr"})
    feed = CDR if name.startswith("any") else IPFLOW
    assert names.feed_of(name) is (feed if is_finished else None)
    assert names.unfinished(name) is (feed if is_finished is False else None)
