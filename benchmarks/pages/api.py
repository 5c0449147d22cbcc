"""Requests for pages of the API in this process: from the WSGI request to the response's last byte.

Usage: python -m benchmarks.pages.api ADDRESS TIMES prints the median of so many requests; python -m
benchmarks.pages.api ADDRESS prints a page's SQL and the address of the next page.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from io import BytesIO
from statistics import median

from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application

TABLE = "kpis_servicetrafficvolume"


def main() -> None:
    application = get_wsgi_application()
    address = sys.argv[1]
    if len(sys.argv) > 2:
        times = int(sys.argv[2])
        measured(application, address, times // 10)
        json.dump(
            {"seconds": measured(application, address, times), "answer": get(application, address)[1]}, sys.stdout
        )
    else:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as queries:
            headers, _ = get(application, address)
        following = re.search(r'<http://localhost([^>]*)>; rel="next"', headers["Link"])
        (query,) = (query["sql"] for query in queries if TABLE in query["sql"])
        json.dump({"sql": query, "next": following and following[1]}, sys.stdout)


def measured(application: WSGIHandler, address: str, times: int) -> float:
    """Return the median of so many requests, in seconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        get(application, address)
        taken.append(time.perf_counter() - started)
    return median(taken)


def get(application: WSGIHandler, address: str) -> tuple[dict[str, str], str]:
    """Return a response's headers and body."""
    path, _, query = address.partition("?")
    environment = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
    }
    started: list[tuple[str, dict[str, str]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], error: object = None, /) -> Callable[[bytes], int]:
        started.append((status, dict(headers)))
        return BytesIO().write

    response = application(environment, start_response)
    try:
        body = b"".join(response)
    finally:
        response.close()
    status, headers = started[0]
    if status != "200 OK":
        raise SystemExit(f"{address} was answered with {status}: {body.decode()}")
    return headers, body.decode()


if __name__ == "__main__":
    main()
