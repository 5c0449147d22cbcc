"""The rows of a measurement file as lines: one for each value, with the fields that its object and its period have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import add

from kpis.catalog.plugin_formats import Refusal, Rows
from network_analysis_pm3gpp.counters import Counters
from network_analysis_pm3gpp.objects import object_of, parts_of

# Fields of a row by the names that columns have in files; beside them are object.CLASS, for each class.
FIELDS = (
    *("vendor", "element", "label", "object", "class", "cell", "counter", "value"),
    *("end", "seconds", "suspect"),
)
_OF_FILES = frozenset(["vendor", "element", "label", "end", "seconds"])
PART = "object."
TAB = b"\t"
# What elements write for no value.
NONE = frozenset([b"", b"NIL", b"Nil", b"nil", b"NULL", b"null", b"NaN"])


# The most objects of which what their rows have in common is kept.
MOST_KEPT = 20_000


class _Measured:
    """The lists of counters that an object has values of, one more than those ``before``.

    All objects with the same lists in the same order share it. ``repeated`` are the counters of the last list that the
    object has values of before.
    """

    def __init__(self, counters: Counters | None = None, before: _Measured | None = None):
        self.counters, self.before = counters, before
        self.after: dict[Counters, _Measured] = {}
        self.repeated: frozenset[str] = counters.repeated if counters else frozenset()
        while counters and before and before.counters:
            self.repeated |= counters.shared_with(before.counters)
            before = before.before

    def and_of(self, counters: Counters) -> _Measured:
        """Return what it is with one list more."""
        found = self.after.get(counters)
        if found is None:
            found = self.after[counters] = _Measured(counters, self)
        return found


class Lines:
    """Makes lines of values, and keeps them until they are ``taken``; ``names`` are those of each column in files."""

    def __init__(self, names: Sequence[Sequence[str]]):
        self._names = names
        first = [one for one, *_ in names]
        place = first.index("counter") if "counter" in first else len(first)
        # Where the value follows its counter, what is before and after them is the same for all values of an object.
        self._place = place if first[place + 1 : place + 2] == ["value"] else None
        self._found: list[Rows] = []
        self.begin()

    def begin(self) -> None:
        """Begin another document."""
        self._fields = dict.fromkeys(FIELDS, "")
        self._none = _Measured()
        self._measured: dict[int, _Measured] = {}
        self._named: dict[Counters, list[bytes]] = {}
        self._forget()

    def set(self, **fields: str) -> None:
        """Set fields that all rows have from now on."""
        if any(self._fields[name] != value for name, value in fields.items()):
            self._fields |= fields
            self._forget()

    def _forget(self) -> None:
        fields = self._fields
        self._period = fields["element"], fields["end"], fields["seconds"]
        # By column, what does not vary among objects and values.
        self._fixed = [
            _quoted(next(filter(None, map(fields.get, names)), "")) if _OF_FILES.issuperset(names) else None
            for names in self._names
        ]
        # By an object and its ``suspect``: what its rows begin with, what is between two rows, and what ends them.
        self._common: dict[tuple[str, str], tuple[bytes, bytes, bytes]] = {}

    def taken(self) -> Iterator[Rows]:
        """Yield the rows since the last call, in their order."""
        found, self._found = self._found, []
        lines: list[bytes] = []
        for row in found:
            if isinstance(row, bytes):
                lines.append(row)
                continue
            if lines:
                yield b"".join(lines)
                lines = []
            yield row
        if lines:
            yield b"".join(lines)

    def add(self, name: str, suspect: str, counters: Counters, values: Sequence[bytes]) -> None:
        """Add the values of an object, one of each counter that is kept; the counters are plain."""
        if not values:
            return
        repeated = self._repeated(name, counters)
        if repeated or self._place is None:
            self._add_singly(name, suspect, zip(counters.kept_names, values, strict=True), repeated)
            return
        if not NONE.isdisjoint(values):
            values = [b"" if value in NONE else value for value in values]
        common = self._common.get((name, suspect))
        if common is None:
            common = self._common_of(name, suspect, self._place)
        begin, between, end = common
        named = self._named.get(counters)
        if named is None:
            named = self._named[counters] = [_quoted(one) + TAB for one in counters.kept_names]
        self._found.append(begin + between.join(map(add, named, values)) + end)

    def _common_of(self, name: str, suspect: str, place: int) -> tuple[bytes, bytes, bytes]:
        pieces = self._pieces(name, suspect)
        begin = b"".join([piece + TAB for piece in pieces[:place]])
        end = b"".join([TAB + piece for piece in pieces[place + 2 :]]) + b"\n"
        if len(self._common) >= MOST_KEPT:
            self._common.clear()
        common = self._common[name, suspect] = begin, end + begin, end
        return common

    def add_each(
        self, name: str, suspect: str, counters: Counters, values: Sequence[tuple[str, str]], are_listed: bool
    ) -> None:
        """Add the values of an object with their positions; what is not of one counter is refused."""
        if counters.are_plain and tuple(position for position, _ in values) == counters.positions:
            self.add(name, suspect, counters, [_quoted(values[place][1]) for place in counters.kept])
            return
        if counters.names and not counters.kept:
            return
        if are_listed and len(values) != len(counters.names):
            # Which of them is missing, or too much, is not known.
            for _, text in values:
                self._refuse(f"is one of {len(values)} values for {len(counters.names)} counters", "value", name, text)
            return
        repeated = self._repeated(name, counters)
        used: set[str] = set()
        for position, text in values:
            found = counters.by_position.get(position, [])
            if len(found) != 1 or not position or not found[0]:
                self._refuse(_unknown(position, found), "counter", name, text)
            elif position in used:
                self._refuse(f"is that of a value before: p {position} comes twice", "counter", name, text)
            else:
                used.add(position)
                if found[0] in counters.kept_names:
                    self._add_singly(name, suspect, [(found[0], _quoted(text))], repeated)

    def _add_singly(
        self, name: str, suspect: str, values: Iterable[tuple[str, bytes]], repeated: Collection[str]
    ) -> None:
        pieces = self._pieces(name, suspect)
        for counter, value in values:
            if counter in repeated:
                text = f"{counter} {value.decode()}"
                self._refuse("comes twice for this object and period", "counter", name, text)
                continue
            varied = {"counter": _quoted(counter), "value": b"" if value in NONE else value}
            row = [varied.get(names[0], piece) for names, piece in zip(self._names, pieces, strict=True)]
            self._found.append(TAB.join(row) + b"\n")

    def _repeated(self, name: str, counters: Counters) -> frozenset[str]:
        """Return the counters of which the object has values before in the same period; remember that it has these."""
        key = hash((self._period, name))
        measured = self._measured[key] = self._measured.get(key, self._none).and_of(counters)
        return measured.repeated

    def _pieces(self, name: str, suspect: str) -> list[bytes]:
        """Return the fields of the columns but counter and value, which vary among the object's values."""
        one = object_of(self._fields["element"], name)
        known = {"object": name, "class": one.of, "cell": one.cell, "suspect": suspect}
        return [
            _quoted(self._text_of(names, known)) if piece is None else piece
            for names, piece in zip(self._names, self._fixed, strict=True)
        ]

    def _text_of(self, names: Sequence[str], known: Mapping[str, str]) -> str:
        """Return the first text that one of the names has; "" if none has any."""
        for name in names:
            text = (
                parts_of(known["object"]).get(name[len(PART) :], "") if name.startswith(PART) else known.get(name, "")
            )
            if text := text or self._fields.get(name, ""):
                return text
        return ""

    def _refuse(self, reason: str, column: str, name: str, text: str) -> None:
        self._found.append(Refusal(reason, column, f"{name} {text}".strip()))


def _unknown(position: str, found: Sequence[str]) -> str:
    if not position:
        return "is not known: the value has no p"
    if len(found) > 1:
        return f"is not known: p {position} is that of {' and '.join(found)}"
    return f"is not known: there is none with p {position}"


def _quoted(text: str) -> bytes:
    """Return a text as a field of a line; other white space than spaces becomes spaces."""
    if not text.isprintable() or text[:1] == " " or text[-1:] == " ":
        text = " ".join(text.split())
    return ('"' + text.replace('"', '""') + '"' if '"' in text else text).encode()
