"""The same run with Spark's executors."""
