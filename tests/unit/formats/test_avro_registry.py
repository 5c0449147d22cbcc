"""The schema registry of Avro messages, over real sockets: what it is asked, and what its answers mean."""

from __future__ import annotations

import json
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kpis.catalog.feeds import Feed
from kpis.formats import avro_schemas
from kpis.formats.avro_schemas import schemas_at
from kpis.sources.directory import SourceLost
from kpis.sources.spool import Spool
from tests import avro_bytes as avro
from tests.unit.formats.test_avro import CATALOG, RADIO, SCHEMA, declared, of_messages, record

UNKNOWN = 404, {"error_code": 40403, "message": "Schema 8 not found"}


@dataclass
class Registry:
    """A registry on loopback: ``answers`` by path, and the paths and accounts that it was ``asked`` with."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def registry(monkeypatch, tmp_path) -> Iterator[Registry]:
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.asked.append((self.path, self.headers["Authorization"]))
            status, answer = registry.answers.get(self.path, UNKNOWN)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("NETRC", f"{tmp_path / 'netrc'}")
    monkeypatch.delenv("SCHEMA_REGISTRY_USERNAME", raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.address = f"http://127.0.0.1:{server.server_port}/registry"
    registry.answers["/registry/schemas/ids/7"] = 200, {"schema": json.dumps(SCHEMA)}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    schemas_at.cache_clear()
    yield registry
    server.shutdown()
    thread.join()
    server.server_close()
    schemas_at.cache_clear()


@pytest.fixture
def feed(registry, tmp_path) -> Feed:
    return declared(CATALOG.replace('"schemas"', f'"{registry.address}/"'), tmp_path)


def refusal(feed: Feed, tmp_path, number: int = 7) -> str:
    spool = Spool(feed, tmp_path / "messages")
    with pytest.raises(SourceLost) as error:
        spool.add([1], [avro.message(number, record())])
    spool.discard()
    return f"{error.value}"


def test_each_schema_is_asked_for_once(tmp_path, feed, registry):
    messages = [avro.message(7, record())] * 5 + [avro.message(8, record())] * 5
    records, rejects = of_messages(feed, messages, tmp_path)
    assert len(records) == 5
    assert [reject[:3] for reject in rejects] == [
        (offset, "", "has the schema 8, which the registry does not have") for offset in range(6, 11)
    ]
    assert registry.asked == [("/registry/schemas/ids/7", None), ("/registry/schemas/ids/8", None)]


def test_an_unknown_schema_is_asked_for_again_later(tmp_path, feed, registry, monkeypatch):
    monkeypatch.setattr(avro_schemas, "UNKNOWN_SECONDS", 0)
    assert len(of_messages(feed, [avro.message(8, record())], tmp_path)[1]) == 1
    registry.answers["/registry/schemas/ids/8"] = registry.answers["/registry/schemas/ids/7"]
    assert len(of_messages(feed, [avro.message(8, record())], tmp_path)[0]) == 1


def test_schemas_that_a_schema_refers_to_are_asked_for(tmp_path, feed, registry):
    cell = {"type": "record", "name": "Cell", "fields": [{"name": "id", "type": "int"}]}
    radio = {**RADIO, "fields": [RADIO["fields"][0], {"name": "cell", "type": "Cell"}]}
    main = {
        **SCHEMA,
        "fields": [{**one, "type": "Radio"} if one["name"] == "radio" else one for one in SCHEMA["fields"]],
    }
    to_cell = {"name": "Cell", "subject": "cell/value", "version": 2}
    to_radio = {"name": "Radio", "subject": "radio", "version": 1}
    registry.answers |= {
        "/registry/schemas/ids/9": (200, {"schema": json.dumps(main), "references": [to_radio, to_cell]}),
        "/registry/subjects/radio/versions/1": (200, {"schema": json.dumps(radio), "references": [to_cell]}),
        "/registry/subjects/cell%2Fvalue/versions/2": (200, {"schema": json.dumps(cell)}),
    }
    records, rejects = of_messages(feed, [avro.message(9, record()), avro.message(7, record())], tmp_path)
    assert (len(records), rejects) == (2, [])
    assert records[0] == records[1]


def test_the_account_comes_from_the_environment_or_netrc(tmp_path, feed, registry, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login reader password one\n")
    of_messages(feed, [avro.message(7, record())], tmp_path)
    schemas_at.cache_clear()
    monkeypatch.setenv("SCHEMA_REGISTRY_USERNAME", "key")
    monkeypatch.setenv("SCHEMA_REGISTRY_PASSWORD", "sécret")
    of_messages(feed, [avro.message(7, record())], tmp_path)
    assert [account for _, account in registry.asked] == [
        f"Basic {b64encode(account.encode()).decode()}" for account in ("reader:one", "key:sécret")
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error_code": 401}), "answers with 401 Unauthorized."),
        ((500, {"error_code": 50001}), "answers with 500 Internal Server Error."),
        ((404, b"<html>no such page</html>"), "answers with 404 Not Found."),
        ((200, b"<html>log in</html>"), "answers with something else than JSON."),
        ((200, {"id": 7}), "answers with an answer without a schema."),
        ((200, {"schema": "{}", "references": [{}]}), "answers with a reference without subject and version."),
    ],
)
def test_an_answer_that_says_nothing_of_the_schema_stops_the_stream(tmp_path, feed, registry, answer, said):
    registry.answers["/registry/schemas/ids/7"] = answer
    assert refusal(feed, tmp_path) == f"The schema registry at {registry.address} {said}"


def test_a_schema_of_another_kind_is_the_reason_of_a_reject(tmp_path, feed, registry):
    registry.answers["/registry/schemas/ids/7"] = 200, {"schemaType": "PROTOBUF", "schema": "message M {}"}
    _, (reject,) = of_messages(feed, [avro.message(7, record())], tmp_path)
    assert reject[:3] == (1, "", "has the schema 7, which is of type PROTOBUF, not AVRO")


def test_a_registry_that_is_not_there_stops_the_stream(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    feed = declared(CATALOG.replace('"schemas"', f'"{address}"'), tmp_path)
    assert refusal(feed, tmp_path).startswith(f"The schema registry at {address} does not answer: ")


def test_a_registry_that_stays_silent_stops_the_stream(tmp_path, monkeypatch):
    monkeypatch.setattr(avro_schemas, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        feed = declared(CATALOG.replace('"schemas"', f'"{address}"'), tmp_path)
        assert refusal(feed, tmp_path) == f"The schema registry at {address} does not answer: timed out."
