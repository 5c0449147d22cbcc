"""A whole site for the browser: sample files of all feeds ingested by the real command, and a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.contrib.auth.models import Permission, User

from kpis.catalog.formats import CSV
from kpis.sample import SAMPLES, make_files, write_file
from tests.browser.chromium import SERVER
from tests.factories import MIDNIGHT
from tests.processes import MANAGE, Place

ANALYST, PASSWORD = "analyst", "correct horse"
HOURS = 2
STREAM = "tests.browser.stream"
ROWS = {"ipflow": 3000, "antenna": 600, "coverage": 600, "cdr": 1500}


class Site:
    """A server with sample data; ``origin`` is where it answers, ``process`` what it is."""

    def __init__(self, place: Place, origin: str, process: subprocess.Popen[str]):
        self.place, self.origin, self.process = place, origin, process


def _fill(place: Place, folder: Path) -> None:
    """Takes in two hours of all feeds and what closes them, one file an hour and feed, and a row that is no record."""
    for name, rows in ROWS.items():
        made = list(make_files(SAMPLES[name], folder, MIDNIGHT, HOURS * 12 + 1, rows, 1, 1))
        for number in range(0, len(made), 12):
            texts = [path.read_text() for path in made[number : number + 12]]
            kind = made[0].suffix
            if name != "antenna":
                texts[1:] = [text.partition("\n")[2] for text in texts[1:]]
            target = place.data / made[number].name
            assert target.suffix == kind
            target.write_text("".join(texts))
    with target.open("a") as file:
        file.write("no such row\n")
    write_file(folder / "subscribers.csv", CSV(), SAMPLES["antenna"].subscribers(ROWS["antenna"], 1))
    ended = place.run("load_subscribers", str(folder / "subscribers.csv"))
    assert ended.code == 0, ended.err
    ended = place.run("update_network_stats")
    assert ended.code == 0, ended.err


def _add_analyst(place: Place) -> None:
    with place.alias() as alias:
        user = User(username=ANALYST, is_staff=True)
        user.set_password(PASSWORD)
        user.save(using=alias)
        names = Permission.objects.using(alias).filter(content_type__app_label="kpis")
        user.user_permissions.set(names.filter(codename__startswith="view_"))


def _environment(place: Place) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": place.database_url,
        "DATA_DIR": str(place.data),
        "LAKE_DIR": str(place.lake),
        "DJANGO_SETTINGS_MODULE": "network_analysis.settings",
        "ANONYMOUS_RATE": "off",
        "USER_RATE": "off",
    }


@contextmanager
def running(place: Place, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A Python program on the place's database, which is ended with the block, and the first line that it says."""
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=MANAGE.parent, env=_environment(place), stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def running_server(place: Place, port: int = 0) -> Iterator[Site]:
    """A server on the place's database, at a port, by default a free one."""
    with running(place, "-c", SERVER, str(port)) as (process, at):
        yield Site(place, f"http://127.0.0.1:{int(at)}", process)


@contextmanager
def running_stream(place: Place) -> Iterator[None]:
    """A stream that comes in, a second after the other: see ``stream.py``."""
    with running(place, "-m", STREAM, "--go-on") as (_, said):
        assert said == "in"
        yield


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """The site, for as long as it is needed."""
    place = Place(folder / "place", f"sqlite:///{folder / 'site.sqlite3'}")
    ended = place.run("migrate", "-v", "0")
    assert ended.code == 0, ended.err
    _fill(place, folder / "sample")
    with running(place, "-m", STREAM) as (stream, _):
        assert stream.wait() == 0
    _add_analyst(place)
    with running_server(place) as site:
        yield site
