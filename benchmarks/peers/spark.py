"""Spark as its users would write it: one query per question, with sums, ``distinct`` and ``countDistinct``."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  as everybody calls it

from benchmarks.peers.answer import HOUR, TOP, arguments, write

START = "interval_start_timestamp"
SCHEMA = (
    f"{START} BIGINT, interval_end_timestamp BIGINT, msisdn BIGINT, bytes_uplink BIGINT, bytes_downlink BIGINT, "
    "service_id INT, cell_id BIGINT"
)


def main() -> None:
    paths, _ = arguments()
    spark = SparkSession.builder.appName("plain").config("spark.ui.enabled", "false").getOrCreate()
    flows = spark.read.csv(paths, schema=SCHEMA, header=True)
    hour = F.col(START) - F.col(START) % HOUR
    total = F.sum(F.col("bytes_uplink") + F.col("bytes_downlink"))
    pairs = flows.select(START, "cell_id", "msisdn").distinct()
    answers = [
        flows.groupBy(F.col(START).alias("start"), F.col("service_id").alias("id")).agg(total.alias("value")),
        pairs.groupBy(F.col(START).alias("start"), F.col("cell_id").alias("id")).agg(F.count("*").alias("value")),
        flows.groupBy(hour.alias("start"), F.col("service_id").alias("id")).agg(total.alias("value")),
        flows.groupBy(hour.alias("start"), F.col("cell_id").alias("id")).agg(F.countDistinct("msisdn").alias("value")),
    ]
    write([tuple(row) for row in top(groups).collect()] for groups in answers)
    spark.stop()


def top(groups: DataFrame) -> DataFrame:
    order = Window.partitionBy("start").orderBy(F.desc("value"), "id")
    ranked = groups.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= TOP)
    return ranked.orderBy("start", "rank").select("start", "id", "value")


if __name__ == "__main__":
    main()
