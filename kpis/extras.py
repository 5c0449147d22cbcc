"""The package's extras: clients that only some installations need, and the error if one is not installed.

A module imports such a client where it uses it, and reports its absence with the sentence that ``missing`` returns.
"""

from __future__ import annotations

import importlib.util

# By extra: the imported modules, each with its distribution.
EXTRAS = {
    "mysql": {"MySQLdb": "mysqlclient"},
    "postgres": {"psycopg": "psycopg"},
    "kafka": {"confluent_kafka": "confluent-kafka"},
    "aws": {"boto3": "boto3", "fsspec": "fsspec"},
    "redis": {"channels_redis": "channels-redis"},
    "arrow": {"pyarrow": "pyarrow"},
    "avro": {"fastavro": "fastavro", "cramjam": "cramjam"},
    "spark": {"pyspark": "pyspark", "pyarrow": "pyarrow"},
}


def is_installed(extra: str) -> bool:
    """True if every module of an extra can be found; imports none of them."""
    return all(map(_is_there, EXTRAS[extra]))


def missing(extra: str, subject: str, error: ImportError | None = None) -> str:
    """Return the sentence that says which extra to install.

    ``subject`` ends with its verb: "Streams from Kafka need". ``error`` is the import's error: if the package is
    installed but cannot be imported, for example without its shared library, the sentence gives the reason.
    """
    packages = " and ".join(EXTRAS[extra].values())
    broken = f", which cannot be imported ({error})" if error and all(map(_is_there, EXTRAS[extra])) else ""
    install = f'pip install "network-analysis[{extra}]" (in a checkout: make setup EXTRAS={extra})'
    return f"{subject} {packages}{broken}: {install}."


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
