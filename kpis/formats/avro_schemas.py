"""The schemas of Avro messages by their id: of a folder with a file each, or of a schema registry.

The registry's interface is that of Confluent's, which others have too: ``GET /schemas/ids/ID``. Each schema is loaded
once a process.
"""

from __future__ import annotations

import json
import netrc
import os
import threading
import time
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from kpis import extras
from kpis.catalog.feeds import Feed
from kpis.catalog.formats import Avro
from kpis.formats.decoded import DecoderUnavailable

TIMEOUT_SECONDS = 10
LONGEST_SCHEMA_BYTES = 2**22
# A schema that is unknown may be added: it is asked for again after this time.
UNKNOWN_SECONDS = 60
MOST_UNKNOWN = 1_000
# The most schemas within each other that a registry's schema refers to.
DEEPEST_REFERENCES = 20
ACCEPTED = "application/vnd.schemaregistry.v1+json, application/json"


class UnknownSchema(Exception):
    """A message has no schema that can be used; the reason follows the message: "has the schema 7, ..."."""


class Schemas(ABC):
    """The parsed schemas of a place, by id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, Any] = {}
        # The reasons, each with the time (monotonic) until which it holds.
        self._unknown: dict[int, tuple[str, float]] = {}

    def of(self, number: int) -> Any:
        """Return the schema with an id, as fastavro parses it; raises UnknownSchema and DecoderUnavailable."""
        found = self._known.get(number)
        if found is not None:
            return found
        with self._lock:
            reason, until = self._unknown.get(number, ("", 0.0))
            if time.monotonic() < until:
                raise UnknownSchema(reason)
            try:
                found = self._known[number] = self._parsed(number)
            except UnknownSchema as error:
                if len(self._unknown) >= MOST_UNKNOWN:
                    self._unknown.clear()
                self._unknown[number] = f"{error}", time.monotonic() + UNKNOWN_SECONDS
                raise
        return found

    @abstractmethod
    def _texts(self, number: int) -> list[str]:
        """Return the text of a schema, after those of the schemas that it refers to."""

    def _parsed(self, number: int) -> Any:
        return parsed(self._texts(number), f"has the schema {number}, which")


class FolderSchemas(Schemas):
    """Schemas of a folder, each in a file ``ID.avsc``."""

    def __init__(self, folder: Path):
        super().__init__()
        self._folder = folder

    def _texts(self, number: int) -> list[str]:
        name = f"{number}.avsc"
        shipped = _SHIPPED.get(f"{self._folder}")
        if shipped is not None:
            if f"{number}" not in shipped:
                raise UnknownSchema(f"has the schema {number}, and {self._folder} has no file {name}")
            return [shipped[f"{number}"]]
        try:
            return [(self._folder / name).read_text("utf-8")]
        except FileNotFoundError:
            if not self._folder.is_dir():
                raise DecoderUnavailable(f"The folder of Avro schemas {self._folder} is not there.") from None
            raise UnknownSchema(f"has the schema {number}, and {self._folder} has no file {name}") from None
        except UnicodeDecodeError:
            raise UnknownSchema(f"has the schema {number}, whose file {name} is not valid UTF-8") from None
        except OSError as error:
            raise DecoderUnavailable(
                f"The Avro schema {self._folder / name} cannot be read: {error.strerror}."
            ) from error


class Registry(Schemas):
    """Schemas of a registry at an http or https address.

    The account is SCHEMA_REGISTRY_USERNAME with SCHEMA_REGISTRY_PASSWORD, else that of the host in netrc's file.
    """

    def __init__(self, address: str):
        super().__init__()
        self._address = address.rstrip("/")

    def _texts(self, number: int) -> list[str]:
        found = self._get(f"/schemas/ids/{number}", f"has the schema {number}")
        kind = found.get("schemaType", "AVRO")
        if kind != "AVRO":
            raise UnknownSchema(f"has the schema {number}, which is of type {kind}, not AVRO")
        return [*self._referenced(found, number, 0), self._text(found)]

    def _referenced(self, found: Mapping[str, Any], number: int, depth: int) -> list[str]:
        """Return the texts of the schemas that one refers to, each after those that it refers to itself."""
        if depth > DEEPEST_REFERENCES:
            raise UnknownSchema(f"has the schema {number}, which refers to too many within each other")
        texts: list[str] = []
        for one in found.get("references") or ():
            try:
                subject, version = f"{one['subject']}", int(one["version"])
            except (KeyError, TypeError, ValueError):
                raise self._wrong("a reference without subject and version") from None
            path = f"/subjects/{quote(subject, safe='')}/versions/{version}"
            inner = self._get(path, f"has the schema {number}, which refers to {subject}")
            texts += [*self._referenced(inner, number, depth + 1), self._text(inner)]
        return list(dict.fromkeys(texts))

    def _text(self, found: Mapping[str, Any]) -> str:
        text = found.get("schema")
        if not isinstance(text, str):
            raise self._wrong("an answer without a schema")
        return text

    def _get(self, path: str, subject: str) -> dict[str, Any]:
        """Return the answer to a request; raises UnknownSchema, with the subject, where the registry has none."""
        request = Request(f"{self._address}{path}", headers={"Accept": ACCEPTED})  # noqa: S310  http alone, see Avro
        if account := self._account():
            request.add_unredirected_header("Authorization", f"Basic {b64encode(account.encode()).decode()}")
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
                content = response.read(LONGEST_SCHEMA_BYTES + 1)
        except HTTPError as error:
            with error:
                # Any other server has pages that are not there too.
                if error.code == 404 and "error_code" in _object(error.read(LONGEST_SCHEMA_BYTES)):
                    raise UnknownSchema(f"{subject}, which the registry does not have") from None
            raise self._wrong(f"{error.code} {error.reason}") from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise DecoderUnavailable(f"The schema registry at {self._address} does not answer: {reason}.") from error
        if not (found := _object(content)):
            raise self._wrong("something else than JSON")
        return found

    def _account(self) -> str:
        name = os.environ.get("SCHEMA_REGISTRY_USERNAME", "")
        if name:
            return f"{name}:{os.environ.get('SCHEMA_REGISTRY_PASSWORD', '')}"
        try:
            found = netrc.netrc(os.environ.get("NETRC") or None).authenticators(urlsplit(self._address).hostname or "")
        except FileNotFoundError:
            return ""
        except (OSError, netrc.NetrcParseError) as error:
            raise DecoderUnavailable(f"The accounts in netrc's file cannot be read: {error}.") from error
        return f"{found[0]}:{found[2]}" if found else ""

    def _wrong(self, answer: str) -> DecoderUnavailable:
        return DecoderUnavailable(f"The schema registry at {self._address} answers with {answer}.")


def _object(content: bytes) -> dict[str, Any]:
    """Return the JSON object of an answer; an empty one if it is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def parsed(texts: Iterable[str], subject: str) -> Any:
    """Return the last of the schemas, which may use the names of those before, as fastavro parses it.

    Raises UnknownSchema, with the subject, if it is none of records, and DecoderUnavailable without fastavro.
    """
    try:
        from fastavro import parse_schema
    except ImportError as error:
        raise DecoderUnavailable(extras.missing("avro", "Avro needs", error)) from error
    names: dict[str, Any] = {}
    found: Any = None
    try:
        for text in texts:
            found = parse_schema(json.loads(text), names)
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # Many kinds, and of a text that is no schema also KeyError and TypeError.
        raise UnknownSchema(f"{subject} is no Avro schema: {type(error).__name__}: {error}") from None
    if not isinstance(found, dict) or found.get("type") != "record":
        raise UnknownSchema(f"{subject} is none of records")
    return found


@lru_cache(maxsize=100)
def schemas_at(place: str) -> Schemas:
    """Return the schemas of a place, see ``Avro.schemas``: the same of all this process's feeds."""
    return Registry(place) if Avro(place).is_registry else FolderSchemas(Path(place))


# Of other processes, which have no such folder: the texts of its schemas by id.
_SHIPPED: dict[str, Mapping[str, str]] = {}


def folder_texts(feeds: Iterable[Feed]) -> dict[str, dict[str, str]]:
    """Return the texts of the schemas in the folders that feeds name, by folder and id, for ``use_texts``."""
    found: dict[str, dict[str, str]] = {}
    for feed in feeds:
        if isinstance(feed.format, Avro) and feed.format.schemas and not feed.format.is_registry:
            files = Path(feed.format.schemas).glob("*.avsc")
            found[feed.format.schemas] = {
                file.stem: file.read_bytes().decode("utf-8", "replace") for file in files if file.stem.isdigit()
            }
    return found


def use_texts(texts: Mapping[str, Mapping[str, str]]) -> None:
    """Use the texts that ``folder_texts`` returned in another process, instead of the folders."""
    if texts != _SHIPPED:
        schemas_at.cache_clear()
        _SHIPPED.clear()
        _SHIPPED.update(texts)
