"""Polars: lazy plans, one a file, that the streaming engine runs all at once."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmarks.plans.figures import CELL, FIVE_MINUTES, HOUR, MINUTE, midnight, name, run, subscribers

MESSAGES = {"timestamp": pl.Int64, "id": pl.String, "antenna_id": pl.String, "bytes": pl.Int64, "app": pl.String}
LOGS = {
    "hour": pl.String,
    "lat": pl.Float64,
    "long": pl.Float64,
    "signal": pl.Float64,
    "network": pl.String,
    "operator": pl.String,
    "status": pl.Int32,
    "description": pl.String,
    "speed": pl.Float64,
    "satellites": pl.Float64,
    "precission": pl.Float64,
    "provider": pl.String,
    "activity": pl.String,
    "postal_code": pl.String,
}
CALLS = dict.fromkeys(["SourcePN", "DestPN", "Location", "StartT", "EndT", "Type", "Company"], pl.String)


def antenna(files: list[str], folder: Path) -> None:
    dimensions = {"AntennaTrafficVolume": "antenna_id", "AppTrafficVolume": "app", "UserTrafficVolume": "id"}
    messages = pl.scan_ndjson(files, schema=MESSAGES)
    start = floor("timestamp", FIVE_MINUTES)
    plans = [messages.group_by(start, by).agg(pl.col("bytes").sum()) for by in dimensions.values()]
    volumes = dict(zip(dimensions, pl.collect_all(plans, engine="streaming"), strict=True))
    for seconds in (FIVE_MINUTES, HOUR):
        for kpi, by in dimensions.items():
            write(folder, kpi, seconds, merged(volumes[kpi], seconds, [by], ["bytes"]), "bytes", by)
    people = pl.read_csv(subscribers(files))
    exceeded = (
        merged(volumes["UserTrafficVolume"], HOUR, ["id"], ["bytes"])
        .join(people.select("id", "email"), on="id")
        .group_by("start", "email")
        .agg(pl.col("bytes").sum())
        .join(people.group_by("email").agg(pl.col("quota").max()), on="email")
        .filter(pl.col("bytes") > pl.col("quota"))
    )
    write(folder, "UserQuotaExceeded", HOUR, exceeded, "bytes", "email")


def coverage(files: list[str], folder: Path) -> None:
    plans = []
    for file in files:
        clock = pl.col("hour").str.to_time("%H:%M:%S").cast(pl.Int64) // 10**9
        logs = pl.scan_csv(file, schema=LOGS).with_columns(
            pl.col("postal_code").str.strip_suffix(".0").fill_null(""),
            pl.col("operator").fill_null(""),
            *((pl.col(side) * 1e6).round().cast(pl.Int64) // CELL for side in ("lat", "long")),
            start=midnight(file) + clock - clock % FIVE_MINUTES,
        )
        plans += [
            logs.group_by("start", "operator").agg(pl.len(), *sums("signal"), *sums("precission")),
            logs.group_by("start", "postal_code", "status").agg(pl.len()),
            logs.group_by("start", "lat", "long").agg(pl.len(), *sums("signal")),
        ]
    frames = pl.collect_all(plans, engine="streaming")
    operators, reports, cells = (pl.concat(frames[number::3]) for number in range(3))
    corner = ((pl.col(side) * CELL / 1e6).cast(pl.Decimal(9, 2)).cast(pl.String) for side in ("lat", "long"))
    cells = cells.with_columns(cell=pl.concat_str(*corner, separator=",").fill_null(""))
    signal, both = ["len", "signal", "signals"], ["len", "signal", "signals", "precission", "precissions"]
    for seconds in (FIVE_MINUTES, HOUR):
        by_operator = folded(merged(operators, seconds, ["operator"], both), [], both)
        for kpi, column in (("OperatorSignal", "signal"), ("OperatorGPSPrecision", "precission")):
            write(folder, kpi, seconds, averaged(by_operator, "operator", column), "mean", "operator")
        by_code = merged(reports, seconds, ["postal_code", "status"], ["len"])
        write(folder, "PostalCodeStatus", seconds, by_code, "len", "postal_code", "status")
        by_cell = averaged(merged(cells, seconds, ["cell"], signal), "cell", "signal")
        write(folder, "CoverageGridSignal", seconds, by_cell, "mean", "cell")


def cdr(files: list[str], folder: Path) -> None:
    # A minute's many texts are parsed once.
    minute = pl.col("StartT").str.head(len("Apr 30 2018 00:00"))
    calls = (
        pl.scan_csv(files, schema=CALLS)
        .group_by(minute.alias("minute"), "Location", "Company", "Type")
        .agg(pl.len())
        .collect(engine="streaming")
        .with_columns(start=pl.col("minute").str.to_datetime("%b %d %Y %H:%M").dt.epoch("s"))
    )
    for seconds in (MINUTE, FIVE_MINUTES, HOUR):
        write(folder, "CountyCallVolume", seconds, merged(calls, seconds, ["Location"], ["len"]), "len", "Location")
        spelled = merged(calls, seconds, ["Company", "Type"], ["len"]).rename({"Company": "operator"})
        operators = folded(spelled, ["Type"], ["len"]).with_columns(
            share=pl.col("len") / pl.col("len").sum().over("start")
        )
        write(folder, "OperatorCallVolume", seconds, operators, "len", "operator", "Type")


def floor(column: str, seconds: int) -> pl.Expr:
    return (pl.col(column) - pl.col(column) % seconds).alias("start")


def sums(column: str) -> list[pl.Expr]:
    """Return the parts of a mean."""
    return [pl.col(column).sum(), pl.col(column).count().alias(f"{column}s")]


def merged(groups: pl.DataFrame, seconds: int, by: list[str], values: list[str]) -> pl.DataFrame:
    """Return the groups' values added up by intervals of so many seconds."""
    return groups.group_by(floor("start", seconds), *by).agg(pl.col(values).sum())


def folded(groups: pl.DataFrame, by: list[str], values: list[str]) -> pl.DataFrame:
    """Return one group for all spellings of an operator, named by that of most records."""
    spellings = groups.sort("len", "operator", descending=[True, False])
    lower = pl.col("operator").str.to_lowercase().alias("lower")
    return spellings.group_by("start", lower, *by).agg(pl.col("operator").first(), pl.col(values).sum()).drop("lower")


def averaged(groups: pl.DataFrame, by: str, column: str) -> pl.DataFrame:
    samples = pl.col(f"{column}s")
    mean = pl.when(samples > 0).then(pl.col(column) / samples)
    return groups.select("start", by, mean=mean, samples=samples, empty=pl.col("len") - samples)


def write(folder: Path, kpi: str, seconds: int, groups: pl.DataFrame, value: str, *by: str) -> None:
    """Write the groups, ranked by their values."""
    descending = [False, True, *[False] * len(by)]
    ranked = groups.sort("start", value, *by, descending=descending, nulls_last=True)
    ranked.select("start", *by, pl.exclude("start", *by)).write_csv(folder / name(kpi, seconds))


if __name__ == "__main__":
    run({"antenna": antenna, "coverage": coverage, "cdr": cdr})
