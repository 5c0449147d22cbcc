"""Polars: lazy plans, one a file, that the streaming engine runs all at once."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmarks.peers.answer import FIVE_MINUTES, HOUR, TOP, arguments, write

START, END = "interval_start_timestamp", "interval_end_timestamp"
SCHEMA = {
    START: pl.Int64,
    END: pl.Int64,
    "msisdn": pl.Int64,
    "bytes_uplink": pl.Int64,
    "bytes_downlink": pl.Int64,
    "service_id": pl.Int32,
    "cell_id": pl.Int64,
}
BYTES = pl.col("bytes_uplink") + pl.col("bytes_downlink")
# A value of the wrong type is read as null, and so are expressions of it.
REASON = (
    pl.when(pl.col("more").is_not_null() | pl.any_horizontal(pl.col(*SCHEMA).is_null()))
    .then(pl.lit("not seven numbers"))
    .when(pl.col(END) - pl.col(START) != FIVE_MINUTES)
    .then(pl.lit("not five minutes long"))
    .when(pl.col(START) % FIVE_MINUTES != 0)
    .then(pl.lit("not aligned"))
    .when((pl.col("msisdn") <= 0) | (pl.col("bytes_uplink") < 0) | (pl.col("bytes_downlink") < 0))
    .then(pl.lit("out of range"))
)


def main() -> None:
    paths, rejects = arguments()
    if rejects is None:
        plans = [plan for path in paths for plan in reduced(pl.scan_csv(path, schema=SCHEMA))]
        frames = pl.collect_all(plans, engine="streaming")
    else:
        frames = checked(paths, rejects)
    services, pairs = (pl.concat(frames[number::2]).lazy() for number in (0, 1))
    hour = pl.col("start") - pl.col("start") % HOUR
    tops = [
        top(services),
        top(pairs.group_by("start", "id").agg(value=pl.len())),
        top(services.group_by(hour.alias("start"), "id").agg(pl.col("value").sum())),
        top(pairs.group_by(hour.alias("start"), "id").agg(value=pl.col("msisdn").n_unique())),
    ]
    write(frame.iter_rows() for frame in pl.collect_all(tops, engine="streaming"))


def reduced(flows: pl.LazyFrame) -> list[pl.LazyFrame]:
    """Return a file's bytes by service, and its distinct pairs of cell and user."""
    services = flows.group_by(start=START, id="service_id").agg(value=BYTES.sum())
    return [services, flows.select(start=START, id="cell_id", msisdn="msisdn").unique()]


def top(groups: pl.LazyFrame) -> pl.LazyFrame:
    ranked = groups.sort("start", "value", "id", descending=[False, True, False])
    return ranked.group_by("start", maintain_order=True).head(TOP)


def checked(paths: list[str], rejects: str) -> list[pl.DataFrame]:
    """Return what ``reduced`` does for each file's records; write the rejects with the line's number."""
    frames = []
    with open(rejects, "w") as file:
        for path in paths:
            # An additional field is read as an eighth column.
            rows = pl.scan_csv(
                path,
                has_header=False,
                skip_lines=1,
                schema={**SCHEMA, "more": pl.String},
                missing_columns="insert",
                ignore_errors=True,
                row_index_name="line",
                row_index_offset=2,
            )
            found = rows.with_columns(reason=REASON).collect(engine="streaming")
            bad = found.filter(pl.col("reason").is_not_null())
            bad.select(file=pl.lit(Path(path).name), line="line", reason="reason", text=pl.lit("")).write_csv(
                file, include_header=False
            )
            good = found.lazy().filter(pl.col("reason").is_null())
            frames += pl.collect_all(reduced(good), engine="streaming")
    return frames


if __name__ == "__main__":
    main()
