"""The pipeline on Spark's executors."""
