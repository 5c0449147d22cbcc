"""Apache Spark as an engine: ``--engine spark``."""
