"""``manage.py plot``: draw a KPI over time to a file, without a browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from kpis.catalog.intervals import BY_SHORT_NAME, Length
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.console import moments
from kpis.console.charts.chart import Chart
from kpis.console.charts.series import series_chart
from kpis.console.pictures import PICTURES
from kpis.console.selection import BadSelection, Selection, selection
from kpis.console.series import series_with_normal
from kpis.console.theme import LIGHT
from kpis.management.output import WRONG_USE, WorkCommand


class Command(WorkCommand):
    help = (
        "Draws a KPI over time to a file: the same chart as on its page. KPIs about single subscribers are drawn as "
        "well, regardless of the web's permissions: this is for operators with a shell."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kpi", metavar="KPI", help="its id or its name, such as 1 or ServiceTrafficVolume")
        moment = "a moment such as 2021-07-18T02:05, in TIME_ZONE where it has no offset or Z"
        parser.add_argument(
            "--from", dest="start", default="", metavar="TIME", help=f"{moment} (default: a day before)"
        )
        parser.add_argument("--to", dest="end", default="", metavar="TIME", help=f"{moment} (default: the newest)")
        parser.add_argument("--interval", help=f"the intervals' length: {', '.join(BY_SHORT_NAME)} (default: 5m)")
        parser.add_argument(
            "--group",
            action="append",
            default=[],
            metavar="[DIMENSION=]VALUE",
            help="one group instead of the total, such as 101, -34.60,-58.40 or operator=Poppy; once for each of the "
            "KPI's dimensions; a text that begins with - needs an equals sign: --group=-text",
        )
        parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=f"a file: .{', .'.join(PICTURES)}")

    def handle(
        self,
        *,
        kpi: str,
        start: str,
        end: str,
        interval: str | None,
        group: list[str],
        out: Path,
        verbosity: int,
        **options: Any,
    ) -> None:
        picture = PICTURES.get(out.suffix.lower().removeprefix("."))
        if picture is None:
            raise CommandError(f"--out must end in .{', .'.join(PICTURES)}, not be {out.name!r}.", returncode=WRONG_USE)
        wanted = _kpi(kpi)
        parameters = {"from": start, "to": end, **_group(wanted, group)}
        if interval:
            parameters["interval"] = str(_length(wanted, interval).code)
        try:
            chosen = selection(wanted, parameters)
        except BadSelection as error:
            raise CommandError(str(error), returncode=WRONG_USE) from None
        if chosen is None:
            raise CommandError(f"There are no records of {wanted.name} yet.")
        content = picture.draw(_chart(chosen))
        _write_whole(content, out)
        if verbosity:
            span = moments.span(chosen.window.start, chosen.window.end)
            self.stdout.write(f"{out}: {wanted.name}, {span} ({moments.zone_name()})")


def _chart(chosen: Selection) -> Chart:
    frame = series_with_normal(chosen.kpi, chosen.window, chosen.group)
    if frame["value"].isna().all():
        of = f" of {', '.join(map(str, chosen.group.values()))}" if chosen.group else ""
        span = f"{moments.span(chosen.start, chosen.end)} ({moments.zone_name()})"
        raise CommandError(f"There are no records of {chosen.kpi.name}{of} in {span}.")
    return series_chart(chosen.kpi, chosen.window, frame, LIGHT, chosen.group)


def _kpi(text: str) -> KPI:
    for kpi in KPIS.values():
        if text in (str(kpi.id), kpi.name) or text.lower() == kpi.name.lower():
            return kpi
    known = ", ".join(f"{kpi.id} ({kpi.name})" for kpi in KPIS.values())
    raise CommandError(f"There is no KPI {text!r}. There are: {known}.", returncode=WRONG_USE)


def _length(kpi: KPI, text: str) -> Length:
    offered = {length.short_name: length for length in kpi.lengths}
    if text not in offered:
        raise CommandError(
            f"--interval of {kpi.name} must be one of {', '.join(offered)}, not {text!r}.", returncode=WRONG_USE
        )
    return offered[text]


def _group(kpi: KPI, texts: list[str]) -> dict[str, str]:
    group = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if len(kpi.dimensions) == 1 and not (equals and name in kpi.dimensions):
            name, value = kpi.dimensions[0], text
        if name not in kpi.dimensions or (not equals and len(kpi.dimensions) > 1):
            raise CommandError(
                f"--group of {kpi.name} must be like {kpi.dimensions[0]}=VALUE, with one of "
                f"{', '.join(kpi.dimensions)}, not {text!r}.",
                returncode=WRONG_USE,
            )
        group[name] = value
    return group


def _write_whole(content: bytes, out: Path) -> None:
    """Write a file that appears under its name only once it is complete."""
    part = out.with_name(f"{out.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, out)
    except OSError as error:
        raise CommandError(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
