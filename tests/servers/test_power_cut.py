"""A power cut takes back nothing that the ledger refers to: the lake on a disk of its own, the database elsewhere.

The disk is a file with an ext4 in it. What a power cut leaves of it is a copy of that file, taken while it is mounted
and without a sync, right after the processes are gone; mounting the copy recovers its journal, as after a cut. It takes
root and loop devices.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3
from django.db import connection

from kpis.models import LakeFile
from tests.effort import times
from tests.processes import Place, killed
from tests.twin import Flow, expected

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="disks are the same whatever the server"),
]

START = 1626566400  # 2021-07-18T00:00:00Z
CUTS = times("POWER_CUTS", 8, 50)
MEGABYTES = 40


def command(*arguments: object) -> None:
    subprocess.run(list(map(str, arguments)), check=True, capture_output=True)


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[None]:
    """An image's file system at a folder; it writes nothing by itself before it is asked to."""
    folder.mkdir(exist_ok=True)
    command("mount", "-o", "loop,commit=300", image, folder)
    try:
        yield
    finally:
        command("umount", "--lazy", folder)


def new_image(image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(MEGABYTES * 2**20)
    command("mkfs.ext4", "-q", "-F", image)


@pytest.fixture
def disks(tmp_path):
    """Skips where no disk of our own can be mounted, unless services are required."""
    try:
        new_image(tmp_path / "probe")
        with mounted(tmp_path / "probe", tmp_path / "probed"):
            pass
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"no disk of our own can be mounted (it takes root and loop devices): {error}")


def hour_of_files(chance: random.Random, hour: int) -> dict[str, list[Flow]]:
    return {
        f"ipflow_data.ts-{(start + 300) * 1000}.1.csv": [
            Flow(start, chance.randrange(1, 9), chance.randrange(99), 1, chance.randrange(9), chance.randrange(9))
            for _ in range(20)
        ]
        for start in range(START + hour * 3600, START + (hour + 1) * 3600, 600)
    }


def lacking(place: Place) -> list[str]:
    """The files that the ledger refers to and the lake has not, or not as they were written."""
    with place.alias() as alias:
        wanted = {str(file): file.digest for file in LakeFile.objects.using(alias)}
    assert wanted
    return [
        path
        for path, digest in wanted.items()
        if not (place.lake / path).is_file() or blake3((place.lake / path).read_bytes()).hexdigest() != digest
    ]


def test_all_that_the_ledger_counts_on_outlasts_a_power_cut(disks, place):
    chance = random.Random(11)  # noqa: S311
    files: dict[str, list[Flow]] = {}
    image = place.folder / "disk-0"
    new_image(image)
    for cut in range(CUTS):
        new = hour_of_files(chance, cut)
        # Some are replaced: what the former content gave goes only when the new one is safe.
        new |= {name: hour_of_files(chance, cut - 1)[name] for name in sorted(files)[-2:]}
        place.put(new)
        files |= new
        after = place.folder / f"disk-{cut + 1}"
        with mounted(image, place.lake):
            process = place.start()
            if cut % 2:
                # At some moment of the run: while the next file is ingested.
                for _ in range(chance.randrange(1, len(new))):
                    process.stdout.readline()
                killed(process)
            else:
                # Right after the run.
                out, err = process.communicate()
                assert process.returncode == 0, (out, err)
            shutil.copyfile(image, after)
        image.unlink()
        image = after
        with mounted(image, place.lake):
            assert lacking(place) == []
    with mounted(image, place.lake):
        for _ in range(2):
            ended = place.run()
            assert (ended.code, ended.err) == (0, "")
        assert lacking(place) == []
        newest = max(flow.start + 300 for flows in files.values() for flow in flows)
        assert place.stored() == expected(files, newest)
        rebuilt = place.run("update_network_stats", "--rebuild", "2021-07-18T00:00", "2021-07-19T00:00")
        assert rebuilt.code == 0, rebuilt.err
        assert place.stored()[0] == expected(files, newest)[0]
