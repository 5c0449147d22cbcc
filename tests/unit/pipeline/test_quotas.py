"""Hourly quotas through the real commands: who is over his quota, by which quota, and what a changed one touches."""

from __future__ import annotations

import io
import random
from collections import defaultdict

import pytest
from django.core.management import call_command

from kpis.models import IntervalSummary, UserQuotaExceeded
from tests.twin import ONE_HOUR, Message, file_text, moment, uuid

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = 1626566400  # 2021-07-18T00:00:00Z
NEXT = HOUR + 3600

# device: (email, quota)
Subscribers = dict[int, tuple[str, int]]


@pytest.fixture
def load(tmp_path):
    """Loads subscribers, given by device."""

    def load_(subscribers: Subscribers):
        rows = [f"{uuid(device)},Somebody,{email},{quota}" for device, (email, quota) in subscribers.items()]
        path = tmp_path / "subscribers.csv"
        path.write_text("\n".join(["id,name,email,quota", *rows]) + "\n")
        call_command("load_subscribers", path, verbosity=0)

    return load_


@pytest.fixture
def put(data_dir):
    """Puts messages into the data folder, as the file of that name."""

    def put_(name: str, *messages: Message):
        (data_dir / f"antenna_data.{name}.jsonl").write_text(file_text(messages))

    return put_


def update(**options):
    out = io.StringIO()
    call_command("update_network_stats", stdout=out, stderr=out, **options)


def rebuild(start: int, end: int):
    update(rebuild=[moment(start), moment(end)])


def message(device: int, size: int, start: int = HOUR) -> Message:
    return Message(start, device, antenna=7, bytes=size, app="SKYPE")


def over(hour: int) -> list[tuple[int, str, int, int]]:
    """An hour's rows: rank, email, usage and quota."""
    rows = UserQuotaExceeded.objects.filter(interval=ONE_HOUR, interval_start_timestamp=moment(hour)).order_by("rank")
    return list(rows.values_list("rank", "email", "usage", "quota"))


def summary(hour: int) -> tuple[int, int]:
    """An hour's total and its number of groups."""
    one = IntervalSummary.objects.get(kpi=6, interval=ONE_HOUR, interval_start_timestamp=moment(hour))
    return one.total, one.groups


def twin(messages: list[Message], subscribers: Subscribers) -> list[tuple[int, str, int, int]]:
    """An hour's expected rows, in plain Python."""
    usage, quotas = defaultdict(int), defaultdict(int)
    for email, quota in subscribers.values():
        quotas[email] = max(quotas[email], quota)
    for one in messages:
        if one.device in subscribers:
            usage[subscribers[one.device][0]] += one.bytes
    found = [(email, used, quotas[email]) for email, used in usage.items() if used > quotas[email]]
    return [(rank, *row) for rank, row in enumerate(sorted(found, key=lambda row: (-row[1], row[0])), 1)]


# Closes the hour before it, and no one is subscribed to the device.
CLOSING = message(999, 1, NEXT)


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_those_of_the_twin(load, put, seed):
    chance = random.Random(seed)  # noqa: S311
    subscribers = {
        device: (f"{chance.randrange(12)}@example.com", chance.randrange(6) * 100) for device in range(1, 25)
    }
    messages = [
        message(chance.randrange(1, 33), chance.randrange(5) * 50, HOUR + chance.randrange(7200)) for _ in range(300)
    ]
    load(subscribers)
    for number in range(3):
        put(str(number), *messages[number::3])
    put("closing", message(999, 1, HOUR + 7200))
    update()
    for hour in HOUR, NEXT:
        rows = twin([one for one in messages if hour <= one.start < hour + 3600], subscribers)
        assert rows
        assert over(hour) == rows
        assert summary(hour) == (sum(usage for _, _, usage, _ in rows), len(rows))


def test_the_usage_of_one_email_over_several_devices_adds_up_against_its_largest_quota(load, put):
    load({1: ("ada@example.com", 100), 2: ("ada@example.com", 250), 3: ("ben@example.com", 100)})
    put("hour", message(1, 150), message(2, 60, HOUR + 300), message(1, 50, HOUR + 3599), message(3, 101), CLOSING)
    update()
    assert over(HOUR) == [(1, "ada@example.com", 260, 250), (2, "ben@example.com", 101, 100)]


def test_a_device_without_traffic_still_lends_its_quota(load, put):
    load({1: ("ada@example.com", 100), 2: ("ada@example.com", 1000)})
    put("hour", message(1, 900), CLOSING)
    update()
    assert over(HOUR) == []


def test_a_quota_that_is_just_used_up_is_not_passed(load, put):
    load({1: ("ada@example.com", 100), 2: ("ben@example.com", 100), 3: ("clara@example.com", 0)})
    put("hour", message(1, 100), message(2, 101), message(3, 0), CLOSING)
    update()
    assert over(HOUR) == [(1, "ben@example.com", 101, 100)]


def test_a_quota_of_nothing_is_passed_by_a_single_byte(load, put):
    load({1: ("ada@example.com", 0)})
    put("hour", message(1, 1), CLOSING)
    update()
    assert over(HOUR) == [(1, "ada@example.com", 1, 0)]


def test_a_quota_is_one_of_an_hour_not_of_two(load, put):
    load({1: ("ada@example.com", 100)})
    put("hours", message(1, 100, NEXT - 1), message(1, 100, NEXT), message(999, 1, NEXT + 3600))
    update()
    assert (over(HOUR), over(NEXT)) == ([], [])


def test_equal_usage_ranks_by_email(load, put):
    load({1: ("b@example.com", 1), 2: ("a@example.com", 1), 3: ("C@example.com", 1)})
    put("hour", message(1, 5), message(2, 5), message(3, 5), CLOSING)
    update()
    assert [email for _, email, _, _ in over(HOUR)] == ["a@example.com", "b@example.com", "c@example.com"]


def test_there_are_no_five_minute_rows(load, put):
    load({1: ("ada@example.com", 1)})
    put("hour", message(1, 5), CLOSING)
    update()
    assert set(UserQuotaExceeded.objects.values_list("interval", flat=True)) == {ONE_HOUR}
    assert set(IntervalSummary.objects.filter(kpi=6).values_list("interval", flat=True)) == {ONE_HOUR}


@pytest.mark.parametrize(
    "subscribers",
    [{}, {5: ("idle@example.com", 0)}, {1: ("ada@example.com", 5)}],
    ids=["no subscribers", "a subscriber without traffic", "a subscriber within his quota"],
)
def test_an_hour_with_nobody_over_his_quota_has_a_summary_that_says_so(load, put, subscribers):
    load(subscribers)
    put("hour", message(1, 5), message(2, 10**12), CLOSING)
    update()
    assert over(HOUR) == []
    assert summary(HOUR) == (0, 0)
    one = IntervalSummary.objects.get(kpi=6)
    assert (one.records, one.batches, one.state) == (2, 1, "final")


def test_an_hour_without_messages_has_no_summary(load, put):
    load({1: ("ada@example.com", 5)})
    put("hours", message(1, 6, HOUR), message(1, 6, HOUR + 7200), message(999, 1, HOUR + 10800))
    update()
    hours = IntervalSummary.objects.filter(kpi=6).values_list("interval_start_timestamp", flat=True)
    assert sorted(hours) == [moment(HOUR), moment(HOUR + 7200)]


def test_a_changed_quota_touches_later_hours_alone(load, put):
    load({1: ("ada@example.com", 100)})
    put("first", message(1, 150), message(1, 150, NEXT))
    update()
    load({1: ("ada@example.com", 120)})
    put("second", message(999, 1, NEXT + 3600))
    update()
    assert over(HOUR) == [(1, "ada@example.com", 150, 100)]
    assert over(NEXT) == [(1, "ada@example.com", 150, 120)]


def test_a_late_file_is_computed_with_the_quota_that_was_in_force_at_first(load, put):
    load({1: ("ada@example.com", 100), 2: ("ben@example.com", 100), 3: ("clara@example.com", 100)})
    put("first", message(1, 150), message(2, 90), CLOSING)
    update()
    # Ada may use more from now on; Ben less; Clara's device is Ada's now; Dan is new.
    load(
        {
            1: ("ada@example.com", 1000),
            2: ("ben@example.com", 10),
            3: ("ada@example.com", 1000),
            4: ("dan@example.com", 0),
        }
    )
    put("late", message(1, 7, HOUR + 300), message(3, 101, HOUR + 300), message(4, 5, HOUR + 300))
    update()
    assert over(HOUR) == [(1, "ada@example.com", 157, 100), (2, "clara@example.com", 101, 100)]
    # And so it stays, however often it is computed.
    put("later", message(2, 11, HOUR + 600))
    update()
    assert over(HOUR) == [
        (1, "ada@example.com", 157, 100),
        (2, "ben@example.com", 101, 100),
        (3, "clara@example.com", 101, 100),
    ]


def test_an_hour_in_which_nobody_was_over_his_quota_keeps_its_quotas_too(load, put):
    load({1: ("ada@example.com", 100)})
    put("first", message(1, 100), CLOSING)
    update()
    load({1: ("ada@example.com", 10)})
    put("late", message(999, 1, HOUR + 300))
    update()
    assert over(HOUR) == []
    assert summary(HOUR) == (0, 0)


def test_a_replaced_file_is_computed_with_the_quota_that_was_in_force_at_first(load, put):
    load({1: ("ada@example.com", 100)})
    put("first", message(1, 150), CLOSING)
    update()
    load({1: ("ada@example.com", 120)})
    put("first", message(1, 110), CLOSING)
    update()
    assert over(HOUR) == [(1, "ada@example.com", 110, 100)]


def test_rebuild_applies_the_quotas_of_now(load, put):
    load({1: ("ada@example.com", 100), 2: ("ben@example.com", 100)})
    put("hours", message(1, 150), message(2, 90), message(1, 150, NEXT), message(999, 1, NEXT + 3600))
    update()
    load({1: ("ada@example.com", 1000), 2: ("ben@example.com", 50), 3: ("clara@example.com", 1)})
    update()
    assert over(HOUR) == [(1, "ada@example.com", 150, 100)]
    rebuild(HOUR, NEXT)
    assert over(HOUR) == [(1, "ben@example.com", 90, 50)]
    # The hour that was not rebuilt stays as it was.
    assert over(NEXT) == [(1, "ada@example.com", 150, 100)]


def test_after_a_rebuild_late_files_are_computed_with_the_quotas_of_the_rebuild(load, put):
    load({1: ("ada@example.com", 100)})
    put("first", message(1, 150), CLOSING)
    update()
    load({1: ("ada@example.com", 120)})
    rebuild(HOUR, NEXT)
    load({1: ("ada@example.com", 140)})
    put("late", message(1, 1, HOUR + 300))
    update()
    assert over(HOUR) == [(1, "ada@example.com", 151, 120)]


def test_running_again_changes_nothing(load, put):
    load({1: ("ada@example.com", 100)})
    put("first", message(1, 150), CLOSING)
    update()
    before = [list(model.objects.values()) for model in (UserQuotaExceeded, IntervalSummary)]
    load({1: ("ada@example.com", 1)})
    update()
    assert [list(model.objects.values()) for model in (UserQuotaExceeded, IntervalSummary)] == before


def test_an_open_hour_is_computed_on_demand(load, put):
    load({1: ("ada@example.com", 100)})
    put("first", message(1, 150))
    update()
    assert not IntervalSummary.objects.filter(kpi=6).exists()
    update(rollup_open_hours=True)
    assert over(HOUR) == [(1, "ada@example.com", 150, 100)]
    assert IntervalSummary.objects.get(kpi=6).state == "provisional"


def test_usage_beyond_64_bits_is_reported_and_changes_no_other_hour(load, put, capsys):
    load({1: ("ada@example.com", 100), 2: ("ada@example.com", 100)})
    put("one", message(1, 2**62), message(1, 200, NEXT))
    put("two", message(2, 2**62, HOUR + 300), message(999, 1, NEXT + 3600))
    with pytest.raises(SystemExit, match="1"):
        update()
    assert over(HOUR) == []
    assert over(NEXT) == [(1, "ada@example.com", 200, 100)]
