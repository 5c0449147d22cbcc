"""``manage.py plot``: the chart of a KPI's page as a file."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from kpis.catalog.builtin.cdr import COUNTY_CALL_VOLUME, OPERATOR_CALL_VOLUME
from kpis.catalog.registry import KPIS
from tests.factories import MIDNIGHT, make_result, make_summary

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_alone]

FIVE = timedelta(minutes=5)


def plot(*arguments: str) -> str:
    out = StringIO()
    call_command("plot", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def counties():
    for step in range(3):
        make_summary(10, MIDNIGHT + step * FIVE, total=100 + step)
        make_result(COUNTY_CALL_VOLUME, MIDNIGHT + step * FIVE, 1, county="Kern", number_of_calls=10)


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize(
    ("kpi", "group", "columns"),
    [
        (12, "-34.60,-58.40", {"grid_cell": "-34.60,-58.40"}),
        (12, "grid_cell=-34.60,-58.40", {"grid_cell": "-34.60,-58.40"}),
        (1, "-5", {"service_id": -5}),
        (4, "-.5", {"app": "-.5"}),
    ],
)
def test_a_group_whose_name_begins_with_a_minus_is_drawn(tmp_path, kpi, group, columns, joined):
    make_summary(kpi, MIDNIGHT)
    make_result(KPIS[kpi], MIDNIGHT, 1, **columns)
    file = tmp_path / "chart.svg"
    arguments = [f"--group={group}"] if joined else ["--group", group]
    for given in ([kpi, *arguments, "--out", file], [*arguments, "--out", file, kpi]):
        plot(*given)
        (name,) = columns.values()
        assert str(name) in file.read_text()
        file.unlink()


def test_an_option_without_its_value_is_reported_as_before(tmp_path):
    with pytest.raises(CommandError, match="expected one argument"):
        plot(12, "--group", "--out", tmp_path / "chart.svg")


@pytest.mark.parametrize("kpi", ["10", "CountyCallVolume", "countycallvolume"])
def test_a_kpi_is_drawn_by_its_id_or_its_name(tmp_path, counties, kpi):
    file = tmp_path / "chart.svg"
    assert plot(kpi, "--out", file) == f"{file}: CountyCallVolume, 18 Jul 2021, 00:00 to 00:15 (UTC)\n"
    drawn = file.read_text()
    assert "County call volume: all groups" in drawn
    assert "18 Jul 2021, 00:00 to 00:15 (UTC), per 5 minutes" in drawn


def test_the_files_ending_says_what_is_drawn(tmp_path, counties):
    for name, start in (("a.png", b"\x89PNG"), ("b.SVG", b"<svg"), ("c.html", b"<!DOCTYPE html>")):
        plot(10, "--out", tmp_path / name)
        assert (tmp_path / name).read_bytes().lstrip().startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.SVG", "c.html"]


def test_a_group_and_a_span_are_drawn(tmp_path, settings, counties):
    settings.TIME_ZONE = "Europe/Madrid"
    file = tmp_path / "chart.svg"
    printed = plot(
        10,
        "--group",
        "Kern",
        "--interval",
        "5m",
        "--from",
        "2021-07-18T02:05",
        "--to",
        "2021-07-18T00:15Z",
        "--out",
        file,
    )
    assert printed == f"{file}: CountyCallVolume, 18 Jul 2021, 02:05 to 02:15 (Europe/Madrid)\n"
    assert "County call volume: Kern" in file.read_text()


def test_a_group_of_several_dimensions_names_them(tmp_path):
    make_summary(11, MIDNIGHT)
    make_result(OPERATOR_CALL_VOLUME, MIDNIGHT, 1, operator="A=B", call_type="CALL")
    file = tmp_path / "chart.svg"
    plot(11, "--group", "operator=A=B", "--group", "call_type=CALL", "--out", file)
    assert "Operator call volume: A=B, CALL" in file.read_text()


WRONG = [
    (["99"], "There is no KPI '99'. There are: 1 (ServiceTrafficVolume), 2 (CellUniqueUsers)"),
    (["10", "--interval", "1d"], "--interval of CountyCallVolume must be one of 1m, 5m, 1h, not '1d'."),
    (["10", "--from", "never"], "'never' is not a time such as 2021-07-18T02:05 or 2021-07-18T00:05Z."),
    (["10", "--from", "2021-07-19", "--to", "2021-07-18"], "The time span ends before it starts."),
    (
        ["11", "--group", "Poppy"],
        "--group of OperatorCallVolume must be like operator=VALUE, with one of operator, call_type, not 'Poppy'.",
    ),
    (["11", "--group", "operator=Poppy"], "A group of this KPI needs operator and call_type; call_type is missing."),
    (["1", "--group", "x"], "service_id must be a whole number from -2147483648 to 2147483647, not 'x'."),
]


@pytest.mark.parametrize(("arguments", "reason"), WRONG, ids=[reason[:25] for _, reason in WRONG])
def test_wrong_use_is_reported(tmp_path, counties, arguments, reason):
    with pytest.raises(CommandError) as error:
        plot(*arguments, "--out", tmp_path / "chart.png")
    assert str(error.value).startswith(reason)
    assert error.value.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_an_ending_that_cannot_be_drawn_is_wrong_use(tmp_path, counties):
    with pytest.raises(CommandError, match=r"--out must end in \.png, \.svg, \.html, not be 'chart\.gif'\.") as error:
        plot(10, "--out", tmp_path / "chart.gif")
    assert error.value.returncode == 2


def test_where_there_are_no_records_nothing_is_drawn(tmp_path, counties):
    file = tmp_path / "chart.png"
    with pytest.raises(CommandError, match=r"There are no records of CellUniqueUsers yet\."):
        plot(2, "--out", file)
    with pytest.raises(CommandError) as error:
        plot(10, "--group", "Inyo", "--out", file)
    text = "There are no records of CountyCallVolume of Inyo in 18 Jul 2021, 00:00 to 00:15 (UTC)."
    assert (str(error.value), error.value.returncode) == (text, 1)
    assert not file.exists()


def test_a_file_that_cannot_be_written_is_reported(tmp_path, counties):
    with pytest.raises(CommandError, match=r"chart\.svg cannot be written: No such file or directory\."):
        plot(10, "--out", tmp_path / "nowhere" / "chart.svg")
