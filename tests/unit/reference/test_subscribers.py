"""``load_subscribers``: a file of subscribers goes in as a whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from kpis.models import QuotaChange, Subscriber
from tests.twin import uuid

pytestmark = pytest.mark.django_db

HEADER = "id,name,email,quota"
ADA = f"{uuid(1)},Ada Alder,ada@example.com,5000"
BEN = f"{uuid(2)},Ben Birch,ben@example.com,0"


@pytest.fixture
def load(tmp_path, capsys):
    """Loads these lines, or these bytes, as a file; gives what the command says."""

    def load_(*lines: str, content: bytes | None = None) -> str:
        path = tmp_path / "subscribers.csv"
        path.write_bytes("".join(f"{line}\n" for line in lines).encode() if content is None else content)
        call_command("load_subscribers", path)
        return capsys.readouterr().out

    return load_


def subscribers() -> list[tuple[str, str, str, int]]:
    return list(Subscriber.objects.order_by("id").values_list("id", "name", "email", "quota"))


def changes() -> list[tuple[str, str, int]]:
    return list(QuotaChange.objects.order_by("id").values_list("subscriber_id", "email", "quota"))


def test_subscribers_are_added(load):
    assert load(HEADER, ADA, BEN) == "2 added, 0 changed, 0 unchanged\n"
    assert subscribers() == [
        (uuid(1), "Ada Alder", "ada@example.com", 5000),
        (uuid(2), "Ben Birch", "ben@example.com", 0),
    ]


def test_subscribers_are_changed_and_those_who_are_not_in_the_file_stay(load):
    load(HEADER, ADA, BEN, f"{uuid(3)},Clara Dune,clara@example.com,7")
    said = load(HEADER, ADA, f"{uuid(2)},Ben Elm,ben.elm@example.com,6000", f"{uuid(4)},Dan Elm,dan@example.com,8")
    assert said == "1 added, 1 changed, 1 unchanged\n"
    assert subscribers() == [
        (uuid(1), "Ada Alder", "ada@example.com", 5000),
        (uuid(2), "Ben Elm", "ben.elm@example.com", 6000),
        (uuid(3), "Clara Dune", "clara@example.com", 7),
        (uuid(4), "Dan Elm", "dan@example.com", 8),
    ]


def test_more_subscribers_than_a_statement_takes(load):
    lines = [f"{uuid(number)},Name {number},{number % 700}@example.com,{{quota}}" for number in range(2500)]
    assert load(HEADER, *(line.format(quota=1) for line in lines)) == "2,500 added, 0 changed, 0 unchanged\n"
    lines[:2400] = [line.format(quota=2) for line in lines[:2400]]
    lines[2400:] = [line.format(quota=1) for line in lines[2400:]]
    assert load(HEADER, *lines) == "0 added, 2,400 changed, 100 unchanged\n"
    assert Subscriber.objects.filter(quota=2).count() == 2400
    assert QuotaChange.objects.count() == 4900


def test_several_devices_may_have_one_email(load):
    assert load(HEADER, ADA, ADA.replace(uuid(1), uuid(9))) == "2 added, 0 changed, 0 unchanged\n"


def test_each_quota_is_noted_with_the_moment_from_which_it_is_in_force(load):
    before = datetime.now(UTC)
    load(HEADER, ADA, BEN)
    between = datetime.now(UTC)
    load(HEADER, ADA.replace("5000", "6000"), BEN)
    assert changes() == [
        (uuid(1), "ada@example.com", 5000),
        (uuid(2), "ben@example.com", 0),
        (uuid(1), "ada@example.com", 6000),
    ]
    first, second, third = QuotaChange.objects.order_by("id").values_list("since", flat=True)
    assert before <= first == second <= between <= third <= datetime.now(UTC)


def test_loading_the_same_again_notes_nothing(load):
    load(HEADER, ADA, BEN)
    assert load(HEADER, ADA, BEN) == "0 added, 0 changed, 2 unchanged\n"
    assert len(changes()) == 2


def test_a_device_with_another_email_has_its_quota_noted_under_it(load):
    load(HEADER, ADA)
    load(HEADER, ADA.replace("ada@", "alder@"))
    assert changes() == [(uuid(1), "ada@example.com", 5000), (uuid(1), "alder@example.com", 5000)]


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{HEADER}\n{ADA}\n",
        f"{HEADER}\r\n{ADA}\r\n",
        f"\ufeff{HEADER}\r\n\r\n{ADA}\r\n , ,\r\n",
        f"{HEADER}\n{ADA}",
        f'"id","name","email","quota"\n"{uuid(1)}","Ada Alder","ada@example.com","5000"\n',
        f" ID , Name,EMAIL,Quota\n {uuid(1)} , Ada Alder, ada@example.com , 5000 \n",
        f"quota,email,name,id\n5000,ada@example.com,Ada Alder,{uuid(1)}\n",
    ],
    ids=["byte order mark", "CRLF", "empty lines", "no last newline", "quotes", "spaces and case", "another order"],
)
def test_files_as_spreadsheets_write_them(load, content):
    assert load(content=content.encode()) == "1 added, 0 changed, 0 unchanged\n"
    assert subscribers() == [(uuid(1), "Ada Alder", "ada@example.com", 5000)]


def test_names_may_hold_commas_quotes_and_letters_of_any_script(load):
    load(HEADER, f'{uuid(1)},"Ødegård, ""Æ"" 李",ada@example.com,5000')
    assert Subscriber.objects.get().name == 'Ødegård, "Æ" 李'


def test_ids_are_kept_as_the_messages_of_devices_spell_them(load):
    load(HEADER, "ABCDEF00-0000-0000-0000-00000000000A,Ada Alder,ada@example.com,5000")
    assert Subscriber.objects.get().id == "abcdef00-0000-0000-0000-00000000000a"


def test_the_largest_quota(load):
    load(HEADER, f"{uuid(1)},Ada Alder,ada@example.com,{2**63 - 1}")
    assert Subscriber.objects.get().quota == 2**63 - 1


def test_a_header_alone_loads_nothing(load):
    assert load(HEADER) == "0 added, 0 changed, 0 unchanged\n"


def test_silent_on_request(tmp_path, capsys):
    path = tmp_path / "subscribers.csv"
    path.write_text(f"{HEADER}\n{ADA}\n")
    call_command("load_subscribers", path, verbosity=0)
    assert capsys.readouterr().out == ""
    assert Subscriber.objects.count() == 1


BAD_HEADER = "Line 1: the header must be id,name,email,quota, in any order."


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], BAD_HEADER),
        (["id,name,email", f"{uuid(2)},Ben,ben@example.com"], BAD_HEADER),
        ([f"{HEADER},city", f"{BEN},Oslo"], BAD_HEADER),
        (["id,name,email,quota,quota", f"{BEN},1"], BAD_HEADER),
        ([BEN], BAD_HEADER),
        ([HEADER.replace(",", ";"), BEN.replace(",", ";")], BAD_HEADER),
        ([HEADER, BEN, "2,Clara,clara@example.com,7"], "Line 3: id is not a UUID."),
        ([HEADER, BEN, ",Clara,clara@example.com,7"], "Line 3: id is empty."),
        ([HEADER, BEN, f"{uuid(3)},,clara@example.com,7"], "Line 3: name is empty."),
        ([HEADER, BEN, f"{uuid(3)},{'C' * 201},clara@example.com,7"], "Line 3: name is longer than 200 characters."),
        ([HEADER, BEN, f"{uuid(3)},Cla\tra,clara@example.com,7"], "Line 3: name holds a control character."),
        ([HEADER, BEN, f"{uuid(3)},Clara,clara.example.com,7"], "Line 3: email is no e-mail address."),
        ([HEADER, BEN, f"{uuid(3)},Clara,,7"], "Line 3: email is empty."),
        ([HEADER, BEN, f"{uuid(3)},Clara,clara@example.com,-1"], "Line 3: quota is negative."),
        ([HEADER, BEN, f"{uuid(3)},Clara,clara@example.com,1.5"], "Line 3: quota is not a whole number."),
        ([HEADER, BEN, f"{uuid(3)},Clara,clara@example.com,"], "Line 3: quota is empty."),
        ([HEADER, BEN, f"{uuid(3)},Clara,clara@example.com,{2**63}"], "Line 3: quota is beyond 64 bits."),
        ([HEADER, BEN, "", BEN], "Line 4: the id stands in line 2 already."),
        ([HEADER, BEN, f"{uuid(3)},Clara,clara@example.com"], "Line 3 has 3 fields where the header has 4."),
        ([HEADER, BEN, f"{uuid(3)},Dune, Clara,clara@example.com,7"], "Line 3 has 5 fields where the header has 4."),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_loaded(load, lines, message):
    load(HEADER, ADA)
    with pytest.raises(CommandError) as error:
        load(*lines)
    assert str(error.value) == message
    assert subscribers() == [(uuid(1), "Ada Alder", "ada@example.com", 5000)]
    assert len(changes()) == 1


def test_the_same_id_in_other_letters_is_the_same_id(load):
    one = "abcdef00-0000-0000-0000-00000000000a,Ada,ada@example.com,1"
    with pytest.raises(CommandError, match=r"^Line 3: the id stands in line 2 already\.$"):
        load(HEADER, one, one.replace("abcdef", "ABCDEF"))
    assert not subscribers()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f"{HEADER}\n{ADA}\n".encode("utf-16"), "is not valid UTF-8."),
        (f"{HEADER}\n{ADA.replace('Ada', 'Åda')}\n".encode("latin-1"), "is not valid UTF-8."),
        (f'{HEADER}\n{ADA}\n{uuid(2)},"Ben" Birch,ben@example.com,1\n'.encode(), "is no CSV: "),
        (f'{HEADER}\n{ADA}\n{uuid(2)},"Ben Birch,ben@example.com,1\n'.encode(), "is no CSV: "),
    ],
    ids=["UTF-16", "Latin-1", "text after a quote", "open quote"],
)
def test_a_file_that_is_no_csv_in_utf_8_is_reported_and_nothing_is_loaded(load, tmp_path, content, reason):
    with pytest.raises(CommandError) as error:
        load(content=content)
    assert str(error.value).startswith(f"{tmp_path / 'subscribers.csv'} {reason}")
    assert not subscribers()


@pytest.mark.parametrize(
    ("name", "reason"), [("nowhere.csv", "No such file or directory"), (".", "Is a directory")], ids=["none", "folder"]
)
def test_a_file_that_cannot_be_read_is_reported(tmp_path, name, reason):
    path = Path(tmp_path, name)
    with pytest.raises(CommandError) as error:
        call_command("load_subscribers", path)
    assert str(error.value) == f"{path} cannot be read: {reason}."
