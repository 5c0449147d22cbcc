"""``update_network_stats --watch``: files are ingested within seconds, unreported ones by the next listing."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import pytest
import watchfiles
from django.core.management import CommandError, call_command

from kpis import pipeline
from kpis.management.commands.update_network_stats import is_news, new_in
from kpis.models import Run
from kpis.sources import arrivals as arrivals_module
from kpis.sources.arrivals import FolderArrivals
from kpis.sources.queue import Malformed, names_in
from kpis.storage import BucketAddress
from tests.processes import PATIENCE, Place, end_of, killed
from tests.servers.test_buckets import SECRET
from tests.streams.test_stream_turns import at_work
from tests.twin import Flow, expected, file_text
from tests.web import running_web

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

START = 1626566400  # 2021-07-18T00:00:00Z
# Files without a notice would not be found in the tests' time.
NEVER = {"WATCH_LISTING_SECONDS": "3600", "WATCH_POLL_SECONDS": "3600"}
HERE = BucketAddress("raw", "in/")


def flows(number: int) -> dict[str, list[Flow]]:
    return {f"ipflow_data.{number}.csv": [Flow(START + 300 * number, 1, number, 9, 1, 1)]}


@contextmanager
def watching(place: Place, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A watch whose first listing is over; it is gone at the end."""
    process = place.start("update_network_stats", "--watch", *arguments, **{**NEVER, **variables})
    # A reader that waits for a line of it gets the end of the file.
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    try:
        await_true(lambda: runs_of(place) > 0, process)
        yield process
    finally:
        patience.cancel()
        if process.poll() is None:
            killed(process)


def await_true(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits until something holds, while the process goes on."""
    began = time.monotonic()
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.02)


def await_line(lines: Iterator[str], begin: str) -> str:
    """The next line that begins in a way."""
    return next((line for line in lines if line.startswith(begin)), "") or pytest.fail(f"it never said {begin!r}")


def runs_of(place: Place) -> int:
    with place.alias() as alias:
        return Run.objects.using(alias).exclude(outcome=Run.Outcome.RUNNING).count()


def await_ingested(place: Place, number: int, process: subprocess.Popen[str]) -> None:
    await_true(lambda: len(place.known()) == number, process)


def stopped(process: subprocess.Popen[str], by: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
    """Ends a watch by a signal; gives what it said."""
    process.send_signal(by)
    ended = end_of(process)
    assert ended.code == 0, ended
    return ended.out, ended.err


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_what_lands_in_a_folder_is_ingested_until_a_signal_comes(place, by):
    files = flows(0)
    place.put(files)
    with watching(place) as process:
        assert place.known().keys() == files.keys()
        files |= flows(1)
        place.put(flows(1))
        await_ingested(place, 2, process)
        # One that gets its name when it is whole.
        files |= flows(2)
        written = place.data / "ipflow_data.2.csv.part"
        written.write_text(file_text(files["ipflow_data.2.csv"]))
        written.rename(place.data / "ipflow_data.2.csv")
        await_ingested(place, 3, process)
        files["ipflow_data.0.csv"] = [Flow(START, 5, 5, 5, 5, 5)]
        place.put(files)
        await_true(lambda: place.stored() == expected(files, START + 900), process)
        out, err = stopped(process, by)
    assert err == ""
    first, *_, last = out.splitlines()
    assert (first, last) == ("watch: by inotify", "watch ended: a signal came")


def test_a_file_counts_as_complete_when_nothing_more_is_written_to_it(tmp_path, monkeypatch):
    assert arrivals_module.QUIET_SECONDS == 0.3
    monkeypatch.setattr(arrivals_module, "QUIET_SECONDS", 2 * PATIENCE)
    name, began = "ipflow_data.0.csv", time.monotonic()
    with FolderArrivals(tmp_path) as arrivals, (tmp_path / name).open("w", buffering=1) as file:
        arrivals.listen()
        written = began
        # A slow writer, whose lines are each reported.
        for _ in range(3):
            file.write("a line\n")
            while arrivals._landed.get(name, began) <= written:
                assert arrivals.wait(1) == set()
                assert time.monotonic() - began < PATIENCE
            written = arrivals._landed[name]
        monkeypatch.undo()
        while not (names := arrivals.wait(1)):
            assert time.monotonic() - began < PATIENCE
        assert names == {name}
        assert time.monotonic() - written >= arrivals_module.QUIET_SECONDS


def test_what_was_not_reported_is_found_by_the_next_listing_and_no_failure_ends_the_watch(place):
    with watching(place, WATCH_LISTING_SECONDS="1") as process:
        # The folder is another from here on, of which the system was not asked to tell.
        place.data.rename(place.folder / "former")
        await_line(process.stderr, "watch failed: Cannot list the data folder")
        place.data.mkdir()
        place.put(flows(0))
        await_line(process.stdout, "watch goes on")
        await_ingested(place, 1, process)
        place.lake.rename(place.folder / "lake-elsewhere")
        place.lake.write_text("no folder")
        place.put(flows(1))
        await_line(process.stderr, "watch failed: Cannot use the lake")
        place.lake.unlink()
        (place.folder / "lake-elsewhere").rename(place.lake)
        await_ingested(place, 2, process)
        stopped(process)
    assert place.stored() == expected(flows(0) | flows(1), START + 600)


def test_where_nothing_tells_of_files_the_folder_is_listed_more_often(place, tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "watchfiles.py").write_text("raise ImportError('nowhere here')")
    with watching(place, WATCH_POLL_SECONDS="1", PYTHONPATH=str(tmp_path / "modules")) as process:
        for number in (1, 2):
            place.put(flows(number))
            await_ingested(place, number, process)
        _, err = stopped(process)
    assert "watch: listed every 1 s: watchfiles is not installed (nowhere here)" in err
    assert runs_of(place) == 3


def test_what_cannot_be_read_is_tried_again_when_it_is_reported_or_a_listing_is_due(data_dir):
    (data_dir / "ipflow_data.1.csv").symlink_to("nowhere")
    assert is_news(new_in(data_dir, None), None, pipeline.Options())
    with pytest.raises(SystemExit):
        call_command("update_network_stats", verbosity=0)
    (found,) = new_in(data_dir, None)
    assert not is_news([found], None, pipeline.Options())
    assert is_news([found], [found.name], pipeline.Options())


def test_a_folder_that_is_another_by_now_is_heard_again(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    with FolderArrivals(folder) as arrivals:
        arrivals.listen()
        folder.rename(tmp_path / "former")
        arrivals.listen()
        assert arrivals.blind.startswith("the system does not report its files: ")
        folder.mkdir()
        arrivals.listen()
        assert arrivals.blind == ""
        (folder / "cdr_1.csv").touch()
        began = time.monotonic()
        while not (names := arrivals.wait(1)):
            assert time.monotonic() - began < PATIENCE
        assert set(names) == {"cdr_1.csv"}


def test_a_folder_that_the_system_has_nothing_left_for_is_heard_once_it_has(tmp_path):
    # Imported while files can be opened.
    assert watchfiles.watch
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with FolderArrivals(tmp_path) as arrivals, tempfile.TemporaryFile() as file:
        next_one = os.dup(file.fileno())
        os.close(next_one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, limits[1]))
        try:
            arrivals.listen()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert "Too many open files" in arrivals.blind
        arrivals.listen()
        assert arrivals.blind == ""


def test_a_watch_waits_for_the_run_that_is_under_way(place):
    with watching(place) as process:
        with at_work(place):
            place.put(flows(0))
            await_line(process.stdout, "watch waits: another run is under way")
            assert place.known() == {}
        await_ingested(place, 1, process)
        stopped(process)


@pytest.fixture
def queue(cloud, bucket):
    """The address of a queue that receives the bucket's events."""
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=bucket.name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    queues = [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
    bucket.Notification().put(NotificationConfiguration={"QueueConfigurations": queues})
    return url


def in_bucket(bucket) -> dict[str, str]:
    return {"DATA_DIR": f"s3://{bucket.name}/in", "LAKE_DIR": f"s3://{bucket.name}/lake"}


def put(bucket, files: dict[str, list[Flow]]) -> None:
    for name, records in files.items():
        bucket.put_object(Key=f"in/{name}", Body=file_text(records).encode())


def messages_in(cloud, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def test_an_upload_that_a_queue_tells_of_is_in_the_api_without_a_listing(place, cloud, bucket, queue):
    files = flows(0) | {"ipflow_data.1 + é.csv": flows(1)["ipflow_data.1.csv"]}
    secrets = {"AWS_SECRET_ACCESS_KEY": SECRET, "LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json"}
    with (
        watching(place, f"--queue-url={queue}", **in_bucket(bucket), **secrets) as process,
        running_web(place) as web,
    ):
        for number, name in enumerate(files, 1):
            put(bucket, {name: files[name]})
            await_true(lambda number=number: len(rows_of(web)) == number, process)
        # By way of SNS; and what is not one of S3's notifications, which stays for the queue's redrive.
        send = cloud.client("sqs").send_message
        bucket.Notification().put(NotificationConfiguration={})
        put(bucket, flows(2))
        send(QueueUrl=queue, MessageBody="rubbish")
        send(QueueUrl=queue, MessageBody=json.dumps({"Type": "Notification", "Message": event(bucket.name, 2)}))
        await_true(lambda: len(rows_of(web)) == 3, process)
        await_true(lambda: messages_in(cloud, queue) == 1, process)
        out, err = stopped(process)
    assert f"watch: by notifications in the queue {queue}" in out
    assert err.count("is left there: it is not JSON") == 1
    assert SECRET not in out + err
    assert place.stored() == expected(files | flows(2), START + 900)


def rows_of(web) -> list[dict]:
    with urlopen(f"http://{web.address}/api/KPIs/1/?interval=1") as answer:
        return json.load(answer)


def event(bucket: str, number: int) -> str:
    record = {"bucket": {"name": bucket}, "object": {"key": f"in/ipflow_data.{number}.csv"}}
    return json.dumps({"Records": [{"eventName": "ObjectCreated:CompleteMultipartUpload", "s3": record}]})


def test_a_message_stays_until_the_run_with_its_objects_has_ended(place, cloud, bucket, queue):
    with watching(place, f"--queue-url={queue}", **in_bucket(bucket)) as process:
        # The test event that S3 sends to begin with is of no use to anyone.
        await_true(lambda: messages_in(cloud, queue) == 0, process)
        with at_work(place):
            put(bucket, flows(0))
            await_line(process.stdout, "watch waits: another run is under way")
            assert messages_in(cloud, queue) == 1
        await_true(lambda: messages_in(cloud, queue) == 0, process)
        assert len(place.known()) == 1
        stopped(process)


def test_what_a_queue_did_not_tell_of_is_found_by_a_listing(place, cloud, bucket, queue):
    often = {"WATCH_POLL_SECONDS": "1", "WATCH_LISTING_SECONDS": "2"}
    with watching(place, f"--queue-url={queue}", **in_bucket(bucket), **often) as process:
        bucket.Notification().put(NotificationConfiguration={})
        put(bucket, flows(0))
        await_ingested(place, 1, process)
        cloud.client("sqs").delete_queue(QueueUrl=queue)
        await_line(process.stderr, f"watch: listed every 1 s: Cannot read the queue {queue}")
        put(bucket, flows(1))
        await_ingested(place, 2, process)
        stopped(process)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "raw"}), []),
        (event("raw", 1), ["ipflow_data.1.csv"]),
        (event("raw", 1).replace("in/", "in%2F"), ["ipflow_data.1.csv"]),
        (event("raw", 1).replace("in/", "in/further/"), []),
        (event("raw", 1).replace("in/", "lake/"), []),
        (event("another", 1), []),
        (event("raw", 1).replace("ObjectCreated", "ObjectRemoved"), []),
    ],
)
def test_a_notification_tells_of_the_objects_at_the_place(body, names):
    assert list(names_in(body, HERE)) == names


@pytest.mark.parametrize("body", ["", "[1]", "{}", '{"Records": [1]}', '{"Records": [{"eventName": "x", "s3": {}}]}'])
def test_what_is_no_notification_is_none(body):
    with pytest.raises(Malformed):
        list(names_in(body, HERE))


def test_a_watch_over_nothing_does_not_begin(settings, bucket, cloud):
    url = f"{cloud.address}/123456789012/none"
    with pytest.raises(CommandError, match=f"Cannot read the queue {url}: .*does not exist") as raised:
        call_command("update_network_stats", "--watch", "--queue-url", url)
    assert raised.value.returncode == 2
    with pytest.raises(CommandError, match="Cannot list the data folder /nowhere"):
        call_command("update_network_stats", "--watch", "--data-dir=/nowhere")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--watch", "--dry-run"],
        ["--watch", "--retry-failed"],
        ["--watch", "a-file.csv"],
        ["--watch", "--queue-url=http://127.0.0.1/queue"],
        ["--queue-url=http://127.0.0.1/queue", "--data-dir=s3://raw/in"],
    ],
)
def test_what_does_not_go_together_is_refused(data_dir, arguments):
    with pytest.raises(CommandError) as raised:
        call_command("update_network_stats", *arguments)
    assert raised.value.returncode == 2
