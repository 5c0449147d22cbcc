"""pandas: one file after the other on two threads, reduced to groups, which are then added up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.plans.figures import CELL, FIVE_MINUTES, HOUR, MINUTE, midnight, name, run, subscribers

VOLUMES = {"AntennaTrafficVolume": "antenna_id", "AppTrafficVolume": "app", "UserTrafficVolume": "id"}
SIGNAL = {"records": ("status", "size"), "signal": ("signal", "sum"), "signals": ("signal", "count")}
OPERATOR = SIGNAL | {"precission": ("precission", "sum"), "precissions": ("precission", "count")}
LOGS = {
    "hour": "str",
    "lat": "float64",
    "long": "float64",
    "signal": "float64",
    "operator": "str",
    "status": "int32",
    "precission": "float64",
    "postal_code": "str",
}


def antenna(files: list[str], folder: Path) -> None:
    def read(file: str) -> list[pd.DataFrame]:
        messages = pd.read_json(file, lines=True, engine="pyarrow", dtype_backend="pyarrow")
        messages["start"] = messages["timestamp"] // FIVE_MINUTES * FIVE_MINUTES
        return [added(messages[["start", by, "bytes"]], [by]) for by in VOLUMES.values()]

    volumes = dict(zip(VOLUMES, collected(read, files), strict=True))
    for seconds in (FIVE_MINUTES, HOUR):
        for kpi, by in VOLUMES.items():
            write(folder, kpi, seconds, merged(volumes[kpi], seconds, [by]), "bytes", by)
    people = pd.read_csv(subscribers(files))
    hours = merged(volumes["UserTrafficVolume"], HOUR, ["id"]).merge(people[["id", "email"]], on="id")
    usage = added(hours[["start", "email", "bytes"]], ["email"])
    exceeded = usage.merge(people.groupby("email", as_index=False)["quota"].max(), on="email")
    write(folder, "UserQuotaExceeded", HOUR, exceeded[exceeded["bytes"] > exceeded["quota"]], "bytes", "email")


def coverage(files: list[str], folder: Path) -> None:
    def read(file: str) -> list[pd.DataFrame]:
        logs = pd.read_csv(file, usecols=list(LOGS), dtype=LOGS)
        logs[["operator", "postal_code"]] = logs[["operator", "postal_code"]].fillna("")
        logs["postal_code"] = logs["postal_code"].str.removesuffix(".0")
        clock = logs["hour"].str[:2].astype("int64") * HOUR + logs["hour"].str[3:5].astype("int64") * MINUTE
        logs["start"] = midnight(file) + clock // FIVE_MINUTES * FIVE_MINUTES
        for side in ("lat", "long"):
            logs[side] = np.rint(logs[side] * 1e6) // CELL
        return [
            grouped(logs, ["operator"]).agg(**OPERATOR).reset_index(),
            grouped(logs, ["postal_code", "status"]).size().reset_index(name="records"),
            grouped(logs, ["lat", "long"]).agg(**SIGNAL).reset_index(),
        ]

    operators, reports, cells = collected(read, files)
    corners = zip(cells.pop("lat").tolist(), cells.pop("long").tolist(), strict=True)
    cells["cell"] = ["" if south != south else f"{south / 20:.2f},{west / 20:.2f}" for south, west in corners]
    for seconds in (FIVE_MINUTES, HOUR):
        by_operator = folded(merged(operators, seconds, ["operator"]), [])
        for kpi, column in (("OperatorSignal", "signal"), ("OperatorGPSPrecision", "precission")):
            write(folder, kpi, seconds, averaged(by_operator, "operator", column), "mean", "operator")
        by_code = merged(reports, seconds, ["postal_code", "status"])
        write(folder, "PostalCodeStatus", seconds, by_code, "records", "postal_code", "status")
        by_cell = averaged(merged(cells, seconds, ["cell"]), "cell", "signal")
        write(folder, "CoverageGridSignal", seconds, by_cell, "mean", "cell")


def cdr(files: list[str], folder: Path) -> None:
    names = ["Location", "Company", "Type"]

    def read(file: str) -> list[pd.DataFrame]:
        calls = pd.read_csv(file, usecols=["StartT", *names], dtype="str")
        calls["minute"] = calls["StartT"].str[: len("Apr 30 2018 00:00")]
        return [calls.groupby(["minute", *names], sort=False).size().reset_index(name="records")]

    (calls,) = collected(read, files)
    moments = pd.to_datetime(calls.pop("minute"), format="%b %d %Y %H:%M")
    calls["start"] = moments.astype("datetime64[s]").astype("int64")
    calls = calls.rename(columns={"Company": "operator"})
    for seconds in (MINUTE, FIVE_MINUTES, HOUR):
        counties = merged(calls[["start", "Location", "records"]], seconds, ["Location"])
        write(folder, "CountyCallVolume", seconds, counties, "records", "Location")
        spelled = merged(calls[["start", "operator", "Type", "records"]], seconds, ["operator", "Type"])
        operators = folded(spelled, ["Type"])
        operators["share"] = operators["records"] / operators.groupby("start")["records"].transform("sum")
        write(folder, "OperatorCallVolume", seconds, operators, "records", "operator", "Type")


def collected(read: Callable[[str], list[pd.DataFrame]], files: list[str]) -> Iterable[pd.DataFrame]:
    """Return each of the frames that ``read`` makes of a file, of all files together."""
    with ThreadPoolExecutor(2) as threads:
        frames = list(threads.map(read, files))
    return [pd.concat(parts, ignore_index=True) for parts in zip(*frames, strict=True)]


def grouped(rows: pd.DataFrame, by: list[str]) -> pd.api.typing.DataFrameGroupBy:
    return rows.groupby(["start", *by], sort=False, dropna=False)


def added(groups: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    return grouped(groups, by).sum().reset_index()


def merged(groups: pd.DataFrame, seconds: int, by: list[str]) -> pd.DataFrame:
    """Return the groups' values added up by intervals of so many seconds."""
    return added(groups.assign(start=groups["start"] // seconds * seconds), by)


def folded(groups: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return one group for all spellings of an operator, named by that of most records."""
    spellings = groups.sort_values(["records", "operator"], ascending=[False, True])
    spellings["lower"] = spellings["operator"].str.lower()
    values = [name for name in groups if name not in ("start", "operator", *by)]
    how = {"operator": "first"} | dict.fromkeys(values, "sum")
    return grouped(spellings, ["lower", *by]).agg(how).reset_index().drop(columns="lower")


def averaged(groups: pd.DataFrame, by: str, column: str) -> pd.DataFrame:
    samples = groups[f"{column}s"]
    means = {"mean": groups[column] / samples, "samples": samples, "empty": groups["records"] - samples}
    return groups[["start", by]].assign(**means)


def write(folder: Path, kpi: str, seconds: int, groups: pd.DataFrame, value: str, *by: str) -> None:
    """Write the groups, ranked by their values."""
    ranked = groups.sort_values(["start", value, *by], ascending=[True, False, *[True] * len(by)], na_position="last")
    others = [name for name in groups if name not in ("start", *by)]
    ranked[["start", *by, *others]].to_csv(folder / name(kpi, seconds), index=False)


if __name__ == "__main__":
    run({"antenna": antenna, "coverage": coverage, "cdr": cdr})
