"""Sample antenna messages: as real ones are written, and with what analysts look for in them."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kpis.catalog.formats import CSV
from kpis.sample import SAMPLES, make_files, write_file

# 17:00 in California.
AFTERNOON = datetime(2021, 7, 18, 1, 0, tzinfo=UTC)
ROWS, SEED = 4000, 3


@pytest.fixture(scope="module")
def hour(tmp_path_factory) -> dict[datetime, list[dict]]:
    """An hour's messages by the start of their file's interval."""
    paths = make_files(SAMPLES["antenna"], tmp_path_factory.mktemp("hour"), AFTERNOON, 12, ROWS, SEED)
    return {
        AFTERNOON + index * timedelta(minutes=5): [json.loads(line) for line in path.read_text().splitlines()]
        for index, path in enumerate(paths)
    }


@pytest.fixture(scope="module")
def subscribers(tmp_path_factory) -> list[dict[str, str]]:
    path = write_subscribers(tmp_path_factory.mktemp("subscribers"))
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_subscribers(folder: Path, rows=ROWS, seed=SEED) -> Path:
    path = folder / "subscribers.csv"
    write_file(path, CSV(), SAMPLES["antenna"].subscribers(rows, seed))
    return path


def test_a_message_is_spelled_as_a_real_one(tmp_path):
    (path,) = make_files(SAMPLES["antenna"], tmp_path, AFTERNOON, 1, 100, SEED)
    uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    message = re.compile(
        rf'\{{"timestamp": [0-9]{{10}}, "id": "{uuid}", "antenna_id": "{uuid}", "bytes": [0-9]+, "app": "[A-Z]+"\}}\n'
    )
    lines = path.read_text().splitlines(keepends=True)
    assert all(message.fullmatch(line) for line in lines)


def test_apps_have_uneven_shares(hour):
    messages = Counter(message["app"] for messages in hour.values() for message in messages)
    assert 4 <= len(messages) <= 8
    ordered = [count for _, count in messages.most_common()]
    assert ordered[0] > 4 * ordered[-1]
    assert messages.most_common(1)[0][0] == "FACEBOOK"


def test_devices_send_most_messages_through_their_home_antenna(hour):
    antennas = defaultdict(Counter)
    # Without the time in which an antenna fails.
    for start in sorted(hour)[:4]:
        for message in hour[start]:
            antennas[message["id"]][message["antenna_id"]] += 1
    homely = sum(counts.most_common(1)[0][1] for counts in antennas.values())
    everything = sum(counts.total() for counts in antennas.values())
    assert 0.8 < homely / everything < 0.95


def test_some_antennas_are_busy(hour):
    counts = sorted(Counter(message["antenna_id"] for message in hour[AFTERNOON]).values())
    assert len(counts) == 20
    assert counts[-1] > 1.5 * counts[len(counts) // 2]


def test_some_devices_use_a_lot(hour):
    usage = Counter()
    for messages in hour.values():
        for message in messages:
            usage[message["id"]] += message["bytes"]
    ordered = sorted(usage.values(), reverse=True)
    assert len(ordered) == ROWS // 5
    assert sum(ordered[: len(ordered) // 10]) > 0.25 * sum(ordered)


def test_one_antenna_fails_from_17_20_to_18_00_while_its_devices_go_on(hour):
    everywhere = {message["antenna_id"] for messages in hour.values() for message in messages}
    silent = {start: everywhere - {message["antenna_id"] for message in messages} for start, messages in hour.items()}
    failing = set().union(*silent.values())
    assert len(failing) == 1
    half_past = AFTERNOON + timedelta(minutes=20)
    assert silent == {start: failing if start >= half_past else set() for start in hour}
    # It is one of the busiest, and no device falls silent with it.
    before = Counter(message["antenna_id"] for message in hour[AFTERNOON])
    assert failing & {antenna for antenna, _ in before.most_common(5)}
    devices = [{message["id"] for start in part for message in hour[start]} for part in halves(sorted(hour), 4)]
    assert len(devices[0] & devices[1]) > 0.97 * len(devices[0])


def halves(starts: list[datetime], first: int) -> tuple[list[datetime], list[datetime]]:
    return starts[:first], starts[first:]


def test_the_failing_antenna_is_back_at_18_00(tmp_path):
    made = make_files(SAMPLES["antenna"], tmp_path, AFTERNOON + timedelta(minutes=55), 2, ROWS, SEED)
    last, first = ({json.loads(line)["antenna_id"] for line in path.read_text().splitlines()} for path in made)
    assert len(first - last) == 1


def test_subscribers_stay_the_same_from_release_to_release(tmp_path):
    path = write_subscribers(tmp_path, rows=1000)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == (
        "69b53dc3600298bb4db6a9bbb83a26cd31f869123c4b4502c133130a9bf2f869"
    )


def test_most_devices_have_a_subscriber_and_all_subscribers_a_device(hour, subscribers):
    devices = {message["id"] for messages in hour.values() for message in messages}
    subscribed = {row["id"] for row in subscribers}
    assert len(subscribed) == len(subscribers)
    assert subscribed < devices
    assert 0.9 < len(subscribed) / len(devices) < 0.98


def test_some_subscribers_have_several_devices_and_none_has_two_names(subscribers):
    devices = Counter(row["email"] for row in subscribers)
    assert 0.1 < sum(count > 1 for count in devices.values()) / len(devices) < 0.4
    assert len({(row["name"], row["email"]) for row in subscribers}) == len(devices)


def test_emails_lead_nowhere(subscribers):
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+[0-9]*@example\.com", row["email"]) for row in subscribers)


def test_a_few_subscribers_pass_their_hourly_quota(hour, subscribers):
    emails = {row["id"]: row["email"] for row in subscribers}
    quotas, usage = Counter(), Counter()
    for row in subscribers:
        quotas[row["email"]] = max(quotas[row["email"]], int(row["quota"]))
    for messages in hour.values():
        for message in messages:
            if message["id"] in emails:
                usage[emails[message["id"]]] += message["bytes"]
    over = [email for email, volume in usage.items() if volume > quotas[email]]
    assert 0.01 < len(over) / len(usage) < 0.1
