"""Formats: how a feed's rows are written in bytes. ``kpis.formats`` reads what is described here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from kpis.catalog.plugin_formats import FORMATS, PluginFormat
from kpis.catalog.result_columns import BadEntry

# What separates fields, in words.
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
DECIMALS = {".": "a point", ",": "a comma"}
THOUSANDS = {
    ".": "points", ",": "commas", "'": "apostrophes", " ": "spaces", "_": "underscores",
    "\u00a0": "no-break spaces", "\u202f": "narrow no-break spaces", "\u2019": "typographic apostrophes",
}  # fmt: skip
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "latin-1": "Latin-1",
    "cp1252": "Windows-1252",
}
WHITE_SPACE = b" \t\n\r\v\f"
MOST_PREAMBLE, LONGEST_COMMENT, MOST_MISSING, LONGEST_MISSING = 1_000, 8, 16, 32


class Header(StrEnum):
    """Whether a CSV file begins with the names of its columns."""

    REQUIRED = "with a header"
    OPTIONAL = "with or without a header"
    NONE = "without a header"


@dataclass(frozen=True)
class CSV:
    """Fields between delimiters, a row a line. Without a header, the columns are the feed's, in their order.

    Raises BadEntry if the options contradict each other.
    """

    header: Header = field(
        default=Header.REQUIRED,
        metadata={"help": "whether a file's first line has the names of its columns"},
    )
    delimiter: str = field(
        default=",",
        metadata={"help": "the character between two fields: any but letters, digits, `+`, `-` and line ends"},
    )
    quote: str = field(
        default='"',
        metadata={
            "help": "the character round a field that holds the delimiter; within, it is doubled. Empty: there is none"
        },
    )
    decimal: str = field(default=".", metadata={"help": "what precedes the decimals of numbers: `.` or `,`"})
    thousands: str = field(
        default="",
        metadata={
            "help": "what may separate groups of three digits in numbers: `.`, `,`, `'`, `_`, a space, U+00A0, U+202F "
            "or U+2019; a number may also be without. Empty: none of it is accepted"
        },
    )
    encoding: str = field(
        default="utf-8",
        metadata={
            "help": "`utf-8`, `utf-16` (its byte order mark says which), `utf-16-le`, `utf-16-be`, `latin-1` or "
            "`cp1252`"
        },
    )
    comment: str = field(
        default="",
        metadata={"help": "lines that begin with it are no rows: up to 8 ASCII characters. Empty: there are none"},
    )
    preamble: int = field(
        default=0, metadata={"help": f"the number of lines before the header, at most {MOST_PREAMBLE:,}"}
    )
    missing: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "the words that mean the same as an empty field, in any case of their letters, such as `NULL`: "
            f"at most {MOST_MISSING}, of ASCII"
        },
    )

    def __post_init__(self) -> None:
        for contradiction in self._contradictions():
            raise BadEntry(contradiction, "CSV")

    def _contradictions(self) -> Iterator[str]:
        """Yield the reasons why files cannot be written like this."""
        if self.encoding not in ENCODINGS:
            yield f"the encoding {self.encoding!r} is none of {', '.join(ENCODINGS)}"
        yield from self._bad_delimiter()
        yield from self._bad_quote()
        yield from self._bad_numbers()
        yield from self._bad_comment()
        if not 0 <= self.preamble <= MOST_PREAMBLE:
            yield f"the preamble has {self.preamble:,} lines; it can have 0 to {MOST_PREAMBLE:,}"
        yield from self._bad_missing()

    def _bad_delimiter(self) -> Iterator[str]:
        shown = f"the delimiter {self.delimiter!r}"
        if len(self.delimiter) != 1:
            yield f"{shown} is not a single character"
        elif self.delimiter.isalnum() or self.delimiter in "+-":
            yield f"{shown} may be part of a value"
        elif self.delimiter in "\r\n\0\ufeff" or 0xD800 <= ord(self.delimiter) < 0xE000:
            yield f"{shown} cannot be within a line"

    def _bad_quote(self) -> Iterator[str]:
        if self.quote and not (len(self.quote) == 1 and self.quote in "\"'`|$%&*/^~!?#:;@"):
            yield f"the quote {self.quote!r} is not one of \"'`|$%&*/^~!?#:;@"
        elif self.quote == self.delimiter:
            yield f"the quote {self.quote!r} is the delimiter too"

    def _bad_numbers(self) -> Iterator[str]:
        if self.decimal not in DECIMALS:
            yield f"the decimal mark {self.decimal!r} is neither '.' nor ','"
        elif self.thousands and self.thousands not in THOUSANDS:
            yield f"the thousands separator {self.thousands!r} is none of {', '.join(map(repr, THOUSANDS))}"
        elif self.thousands == self.decimal:
            yield f"{self.decimal!r} is both the decimal mark and the thousands separator"
        elif self.thousands and self.thousands == self.quote:
            yield f"{self.quote!r} is both the quote and the thousands separator"
        elif not self.quote and self.delimiter in (self.decimal, self.thousands):
            yield f"without quotes, the delimiter {self.delimiter!r} cannot be within a number"

    def _bad_comment(self) -> Iterator[str]:
        if not self.comment:
            return
        shown, first = f"the comment mark {self.comment!r}", self.comment[0]
        if not (self.comment.isascii() and self.comment.isprintable() and len(self.comment) <= LONGEST_COMMENT):
            yield f"{shown} is not 1 to {LONGEST_COMMENT} printable ASCII characters"
        elif first.isalnum() or first in " +-.," or first in (self.quote, self.delimiter):
            yield f"{shown} begins as a row may begin"

    def _bad_missing(self) -> Iterator[str]:
        if len(self.missing) > MOST_MISSING:
            yield f"{len(self.missing)} words mean no value; {MOST_MISSING} can"
            return
        for number, word in enumerate(self.missing):
            shown = f"the word {word!r} for no value"
            if not (word.isascii() and word.isprintable() and 0 < len(word) <= LONGEST_MISSING):
                yield f"{shown} is not 1 to {LONGEST_MISSING} printable ASCII characters"
            elif word != word.strip() or (self.quote and self.quote in word) or self.delimiter in word:
                yield f"{shown} has the quote or the delimiter within, or a space at an end"
            elif word.lower() in [other.lower() for other in self.missing[:number]]:
                yield f"{shown} comes twice"

    @property
    def has_keys(self) -> bool:
        """True if each row names its own columns."""
        return False

    @property
    def blanks(self) -> bytes:
        """White space that is no delimiter."""
        return bytes(byte for byte in WHITE_SPACE if chr(byte) != self.delimiter)

    @property
    def is_streamable(self) -> bool:
        """True: a message is a row, with the feed's columns in their order."""
        return True

    @property
    def of_messages(self) -> CSV:
        """The same format as messages have it: in UTF-8, and none of them is a comment or part of a preamble."""
        return replace(self, encoding="utf-8", comment="", preamble=0)

    @property
    def can_be_packed(self) -> bool:
        """True if a file may be packed as a whole, and then has ``.gz`` or ``.zst`` after its name."""
        return True

    def __str__(self) -> str:
        default = CSV()
        said = [f"CSV {self.header}"]
        if self.delimiter != default.delimiter:
            said.append(f"fields separated by {delimiter_in_words(self.delimiter)}")
        if self.quote != default.quote:
            said.append(f"quoted with {self.quote}" if self.quote else "no quotes")
        if self.decimal != default.decimal:
            said.append(f"{DECIMALS[self.decimal]} before decimals")
        if self.thousands:
            said.append(f"{THOUSANDS[self.thousands]} between thousands")
        if self.encoding != default.encoding:
            said.append(self.encoding)
        if self.comment:
            said.append(f"comments begin with {self.comment}")
        if self.preamble:
            said.append(f"{self.preamble} lines before the header")
        if self.missing:
            said.append(f"no value is also {', '.join(self.missing)}")
        return "; ".join(said)


@dataclass(frozen=True)
class JSONLines:
    """One JSON object a line."""

    @property
    def has_keys(self) -> bool:
        """True if each row names its own columns."""
        return True

    @property
    def is_streamable(self) -> bool:
        """True: a message is a row."""
        return True

    @property
    def of_messages(self) -> JSONLines:
        """The format of messages, which is that of lines in files."""
        return self

    @property
    def encoding(self) -> str:
        return "utf-8"

    @property
    def blanks(self) -> bytes:
        """White space."""
        return WHITE_SPACE

    @property
    def can_be_packed(self) -> bool:
        """True if a file may be packed as a whole, and then has ``.gz`` or ``.zst`` after its name."""
        return True

    def __str__(self) -> str:
        return "one JSON object a line"


@dataclass(frozen=True)
class Parquet:
    """Apache Parquet, its columns found by their names."""

    @property
    def has_keys(self) -> bool:
        """True if each row names its own columns."""
        return False

    @property
    def is_streamable(self) -> bool:
        """False: a message is one row, and Parquet is for many."""
        return False

    @property
    def of_messages(self) -> Parquet:
        """The format itself: no message has it."""
        return self

    @property
    def can_be_packed(self) -> bool:
        """False: Parquet packs its columns itself."""
        return False

    def __str__(self) -> str:
        return "Parquet"


# Of a row a line.
LineFormat = CSV | JSONLines


@dataclass(frozen=True)
class Plugin:
    """The format ``name`` of a plug-in, with the options that a catalog file gives.

    Raises BadEntry if no plug-in has it, or the options cannot be used.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.name not in FORMATS:
            known = f"there are {', '.join(FORMATS)}" if FORMATS else "no plug-in brings one"
            raise BadEntry(f"no plug-in has the format {self.name!r}; {known}", "Plugin")
        try:
            self.plugin.check(self.options)
        except ValueError as error:
            raise BadEntry(f"{error}".rstrip("."), f"Format {self.name}") from None

    @property
    def plugin(self) -> PluginFormat:
        """What the plug-in registered."""
        return FORMATS[self.name]

    @property
    def lines(self) -> LineFormat:
        """The format of the lines that its rows are decoded into."""
        if self.plugin.lines == "json_lines":
            return JSONLines()
        return CSV(Header.NONE, delimiter=getattr(self.plugin, "delimiter", ","))

    @property
    def has_keys(self) -> bool:
        """True if each row names its own columns."""
        return self.lines.has_keys

    @property
    def is_streamable(self) -> bool:
        """True if a message can be a row."""
        return hasattr(self.plugin, "line")

    @property
    def of_messages(self) -> LineFormat:
        """The format of the lines that messages are decoded into."""
        return self.lines

    @property
    def can_be_packed(self) -> bool:
        """True if a file may be packed as a whole, and then has ``.gz`` or ``.zst`` after its name."""
        return bool(getattr(self.plugin, "can_be_packed", True))

    def __str__(self) -> str:
        options = ", ".join(f"{name} = {value}" for name, value in self.options.items())
        return f"{self.plugin.title} ({options})" if options else self.plugin.title


@dataclass(frozen=True)
class Avro:
    """Records of Avro: messages whose schema is one of ``schemas`` by its id, and files, which have their own.

    ``schemas`` is a folder with a file ``ID.avsc`` for each, or the http or https address of a schema registry; without
    it messages cannot be read. Raises BadEntry for an address that cannot be one.
    """

    schemas: str = ""

    def __post_init__(self) -> None:
        if self.is_registry:
            parts = urlsplit(self.schemas)
            if not parts.hostname:
                raise BadEntry("the address of the schema registry has no host", "Avro")
            if "@" in parts.netloc:
                raise BadEntry(
                    "the address of the schema registry has an account: give it in SCHEMA_REGISTRY_USERNAME and "
                    "SCHEMA_REGISTRY_PASSWORD, or in netrc's file",
                    "Avro",
                )
            if parts.query or parts.fragment:
                raise BadEntry("the address of the schema registry ends in more than a path", "Avro")
        elif "://" in self.schemas:
            raise BadEntry("the schemas are neither in a folder nor at an http or https address", "Avro")

    @property
    def is_registry(self) -> bool:
        """True if the schemas are at an address, else in a folder."""
        return self.schemas.startswith(("http://", "https://"))

    @property
    def lines(self) -> LineFormat:
        """The format of the lines that its records are decoded into."""
        return JSONLines()

    @property
    def has_keys(self) -> bool:
        """True if each row names its own columns."""
        return True

    @property
    def is_streamable(self) -> bool:
        """True if a message can be a row: its schema can be found."""
        return bool(self.schemas)

    @property
    def of_messages(self) -> LineFormat:
        """The format of the lines that messages are decoded into."""
        return self.lines

    @property
    def can_be_packed(self) -> bool:
        """True if a file may be packed as a whole, and then has ``.gz`` or ``.zst`` after its name."""
        return True

    def __str__(self) -> str:
        return f"Avro; schemas in {self.schemas}" if self.schemas else "Avro"


# Decoded into lines before they are read.
DecodedFormat = Avro | Plugin
Format = LineFormat | DecodedFormat | Parquet


def delimiter_in_words(delimiter: str) -> str:
    """Return a delimiter as it is named in messages: ``semicolons``, ``'^'``."""
    return DELIMITERS.get(delimiter, repr(delimiter))
