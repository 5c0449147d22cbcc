"""Where the data is, as the servers of a data contract: without users, passwords and keys."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from kpis.storage import Address, BucketAddress

Server = dict[str, Any]

# By the database's kind: the type of the server, and its port unless the settings name another.
_DATABASES = {"postgresql": ("postgresql", 5432), "mysql": ("mysql", 3306)}


def database_server(kind: str, name: str, host: str, port: int | str | None) -> Server:
    """Return the server of a database: of SQLite a file, ``name``."""
    described = {"server": "database", "description": "the KPIs' results"}
    if kind not in _DATABASES:
        return described | {"type": "custom", "path": name, "format": kind}
    type_, usual = _DATABASES[kind]
    place = {"type": type_, "host": host or "localhost", "port": int(port or usual), "database": name}
    return described | place | ({"schema": "public"} if kind == "postgresql" else {})


def lake_server(lake: Address, endpoint: str = "") -> Server:
    """Return the server of a lake; ``endpoint`` is the address of an object store that is not AWS's."""
    described = {"server": "lake", "description": "Parquet files by hour: records, partials and rejects"}
    if not isinstance(lake, BucketAddress):
        return described | {"type": "local", "path": f"{lake}", "format": "parquet"}
    other = {"endpointUrl": without_credentials(endpoint)} if endpoint else {}
    return described | {"type": "s3", "location": f"{lake}", "format": "parquet"} | other


def api_server(url: str) -> Server:
    """Return the server of the API at an address."""
    return {
        "server": "api",
        "description": "the KPIs' results, by the id of the KPI",
        "type": "api",
        "location": f"{without_credentials(url).rstrip('/')}/api/KPIs/",
    }


def without_credentials(url: str) -> str:
    """Return an address without the user and password that it may have."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
