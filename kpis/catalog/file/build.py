"""Feeds and KPIs of a catalog file's entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from kpis.catalog import columns
from kpis.catalog.checks import check_expression, column_types, derived_column
from kpis.catalog.columns import ColumnType
from kpis.catalog.dimensions import Attribute, Dimension, GridCell
from kpis.catalog.feeds import At, Check, Column, Feed, Moment, day_and_time, moment_at
from kpis.catalog.file import entries
from kpis.catalog.file.conditions import condition_of, expressed
from kpis.catalog.file.defaults import with_default
from kpis.catalog.file.errors import Keys
from kpis.catalog.file.indexes import check_indexes
from kpis.catalog.file.measures import measure_of
from kpis.catalog.file.naming import instead, known_column
from kpis.catalog.file.source import Source
from kpis.catalog.formats import CSV, Avro, Format, Header, JSONLines, Parquet, Plugin
from kpis.catalog.intervals import BY_SHORT_NAME, FIXED_BY_SHORT_NAME
from kpis.catalog.kpis import KPI
from kpis.catalog.name_pattern import NamePattern
from kpis.catalog.plugin_formats import FORMATS
from kpis.catalog.references import ReferenceTable
from kpis.catalog.result_columns import BadEntry

Made = TypeVar("Made")

# Of 64 bits, signed; and of decimals, kept to six places.
LARGEST = 2**63 - 1
LARGEST_DECIMAL = 10**11
# As PostgreSQL has them.
LONGEST_CONSTRAINT = 63
UNIX = {"unix_s": 1, "unix_ms": 1_000, "unix_us": 1_000_000}
DAY_GROUPS = {"year", "month", "day"}


def feed_of(source: Source, name: str, entry: entries.FeedEntry) -> Feed:
    """Return the feed of an entry; raises CatalogError if the entry contradicts itself."""
    at: Keys = ("feeds", name)
    made = tuple(column_of(source, (*at, "columns", key), key, column) for key, column in entry.columns.items())
    derived = _derived(source, at, entry.derived, made)
    types = column_types((*made, *derived))
    format = _format(source, (*at, "format"), entry.format)
    return _made(
        source,
        at,
        lambda: Feed(
            name=name,
            description=entry.description,
            format=format,
            file_names=tuple(entry.files),
            endings=tuple(entry.endings) or _endings(format),
            columns=made,
            derived=derived,
            checks=tuple(
                _check(source, (*at, "checks", index), check, types) for index, check in enumerate(entry.checks)
            ),
            moment=_moment(source, at, entry),
            interval=FIXED_BY_SHORT_NAME[entry.interval],
            name_date=_day_in_name(source, at, entry),
            is_archived=entry.archive,
        ),
    )


def kpi_of(
    source: Source,
    name: str,
    entry: entries.KPIEntry,
    feeds: Mapping[str, Feed],
    references: Mapping[str, ReferenceTable],
) -> KPI:
    """Return the KPI of an entry over one of the feeds; raises CatalogError if the entry contradicts itself.

    Its dimensions may be attributes of the references.
    """
    at: Keys = ("kpis", name)
    if entry.feed not in feeds:
        raise source.error((*at, "feed"), f"names no feed: {instead(entry.feed, feeds)}")
    feed = feeds[entry.feed]
    lengths = tuple(BY_SHORT_NAME[length] for length in dict.fromkeys(entry.lengths))
    for length in lengths:
        if length.usual_minutes % feed.interval.minutes:
            raise source.error(
                (*at, "lengths"),
                f"has {length.short_name}, which is no multiple of the feed's {feed.interval.short_name}",
            )
    by = tuple(_dimension(source, (*at, "by", index), one, feed, references) for index, one in enumerate(entry.by))
    for index, dimension in enumerate(by):
        for used in dimension.columns:
            if feed.column(used).is_personal and not entry.personal:
                raise source.error(
                    (*at, "by", index), f"uses the personal column {used}: the KPI must have personal = true"
                )
        if isinstance(dimension, Attribute) and dimension.described.is_personal and not entry.personal:
            used = f"{dimension.attribute} of the reference {dimension.reference.name}"
            raise source.error(
                (*at, "by", index), f"uses the personal column {used}: the KPI must have personal = true"
            )
    counted = condition_of(source, (*at, "filter"), entry.filter, feed)
    for column in counted.columns if counted else ():
        if feed.column(column).is_personal and not entry.personal:
            raise source.error((*at, "filter"), f"uses the personal column {column}: the KPI must have personal = true")
    measure = measure_of(source, (*at, "measure"), entry.measure, feed)
    for column in (*measure.revealed, *(name for one in measure.conditions for name in one.columns)):
        if feed.column(column).is_personal and not entry.personal:
            raise source.error(
                (*at, "measure"), f"uses the personal column {column}: the KPI must have personal = true"
            )
    made = _made(
        source,
        at,
        lambda: KPI(
            id=entry.id,
            name=name,
            description=entry.description,
            feed=feed,
            by=by,
            measure=measure,
            unit=entry.unit,
            filter=counted,
            lengths=tuple(sorted(lengths, key=lambda length: length.usual_minutes)),
            top=entry.top,
            personal=entry.personal,
            plural=entry.plural,
        ),
    )
    check_indexes(source, (*at, "by"), made)
    for one in made.result_columns:
        constraint = f"{name}_{one.check_name}"
        if one.bounds and len(constraint) > LONGEST_CONSTRAINT:
            raise source.error(
                at,
                f"has too long names: a constraint of its table is named {constraint}, and names in a database have "
                f"{LONGEST_CONSTRAINT} characters at most",
            )
    return made


def share_partials(kpis: Mapping[int, KPI], others: Iterable[KPI]) -> dict[int, KPI]:
    """Return KPIs by id, those by attributes computed from the partials of another KPI if that has the same.

    Of several it is the first by id, rather one without attributes; ``others`` are KPIs besides.
    """
    owners = [kpi for kpi in (*others, *kpis.values()) if kpi.partials_of is None]
    owners.sort(key=lambda kpi: (bool(kpi.attributes), kpi.id))
    found = {}
    for kpi_id, kpi in kpis.items():
        owner = next(one for one in owners if one is kpi or (kpi.attributes and kpi.can_use_partials_of(one)))
        found[kpi_id] = kpi if owner is kpi else replace(kpi, partials_of=owner.source)
    return found


def _derived(
    source: Source, at: Keys, declared: Mapping[str, entries.DerivedEntry], columns: tuple[Column, ...]
) -> tuple[Column, ...]:
    """Return the derived columns of a feed with such columns; what is computed from personal data is personal."""
    found: list[Column] = []
    for name, entry in declared.items():
        where: Keys = (*at, "derived", name)
        if name in {column.name for column in columns}:
            raise source.error(where, "is the name of a column of the files too")
        make = partial(derived_column, name, entry.value, column_types((*columns, *found)), entry.unit)
        column = expressed(source, (*where, "value"), make)
        used = column.derived.columns if column.derived is not None else ()
        is_personal = any(one.is_personal for one in (*columns, *found) if one.name in used)
        found.append(replace(column, is_personal=is_personal))
    return tuple(found)


def _check(source: Source, at: Keys, entry: entries.CheckEntry, types: Mapping[str, ColumnType]) -> Check:
    column = known_column(source, (*at, "column"), entry.column, types)
    return expressed(source, (*at, "holds"), lambda: check_expression(column, entry.reason, entry.holds, types))


def _made(source: Source, at: Keys, make: Callable[[], Made]) -> Made:
    try:
        return make()
    except BadEntry as error:
        raise source.error(at, f"cannot be used: {error.problem}") from None


ENDINGS: dict[type[Format], tuple[str, ...]] = {
    CSV: (".csv", ".txt"),
    JSONLines: (".jsonl", ".json"),
    Parquet: (".parquet",),
    Avro: (".avro",),
}


def _endings(format: Format) -> tuple[str, ...]:
    return tuple(format.plugin.endings) if isinstance(format, Plugin) else ENDINGS[type(format)]


def _format(source: Source, at: Keys, entry: entries.AnyFormat) -> Format:
    if isinstance(entry, entries.PluginEntry):
        if entry.name not in FORMATS:
            known = instead(entry.name, FORMATS) if FORMATS else "no plug-in that is installed has one"
            raise source.error((*at, "name"), f"names no format: {known}")
        at = (*at, "options")
    return _made(source, at, lambda: _made_format(entry, source.path.parent))


def _made_format(entry: entries.AnyFormat, folder: Path) -> Format:
    match entry:
        case entries.CSVEntry():
            return CSV(
                header=Header[entry.header.upper()],
                delimiter=entry.delimiter,
                quote=entry.quote,
                decimal=entry.decimal,
                thousands=entry.thousands,
                encoding=entry.encoding,
                comment=entry.comment,
                preamble=entry.preamble,
                missing=tuple(entry.missing),
            )
        case entries.JSONLinesEntry():
            return JSONLines()
        case entries.ParquetEntry():
            return Parquet()
        case entries.AvroEntry(schemas=schemas):
            # A folder is one beside the catalog file, wherever the command is run.
            return Avro(schemas if not schemas or "://" in schemas else f"{folder.absolute() / schemas}")
        case entries.PluginEntry():
            return Plugin(entry.name, entry.options)


def column_of(source: Source, at: Keys, name: str, entry: entries.AnyColumn) -> Column:
    """Return the column of an entry; raises CatalogError if the entry contradicts itself."""
    headers = [entry.header] if isinstance(entry.header, str) else entry.header
    return _made(
        source,
        at,
        lambda: Column(
            name,
            with_default(source, at, entry, _type(source, at, entry)),
            entry.unit,
            required=entry.required,
            source=entry.source,
            headers=tuple(headers),
            is_personal=entry.personal,
        ),
    )


def _type(source: Source, at: Keys, entry: entries.AnyColumn) -> ColumnType:
    # A record of a file without the column has no value there.
    optional = entry.optional or not entry.required
    match entry:
        case entries.IntegerColumn(minimum=minimum, maximum=maximum, bits=bits, unknown=unknown):
            beyond = 1 << (bits - 1)
            least = -beyond if minimum is None else minimum
            for key, bound in (("minimum", least), ("maximum", maximum)):
                if bound is not None and not -beyond <= bound < beyond:
                    raise source.error((*at, key), f"is beyond the column's {bits} bits")
            for index, number in enumerate(unknown):
                if not -LARGEST <= number <= LARGEST:
                    raise source.error((*at, "unknown", index), "is beyond 64 bits")
            if maximum is not None and maximum < least:
                raise source.error((*at, "maximum"), f"is less than the minimum, {least}")
            return columns.Integer(optional, bits, least, maximum, scientific=entry.scientific, unknown=tuple(unknown))
        case entries.DecimalColumn(minimum=minimum, maximum=maximum, unknown=unknown):
            given: list[tuple[Keys, int]] = [(("minimum",), minimum), (("maximum",), maximum)]
            given += [(("unknown", index), number) for index, number in enumerate(unknown)]
            for where, number in given:
                if abs(number) > LARGEST_DECIMAL:
                    raise source.error((*at, *where), f"is beyond {LARGEST_DECIMAL:,}, the largest decimal number")
            if maximum < minimum:
                raise source.error((*at, "maximum"), f"is less than the minimum, {minimum}")
            return columns.Decimal(optional, minimum=minimum, maximum=maximum, unknown=tuple(unknown))
        case entries.TextColumn(longest=longest):
            return columns.Text(optional, longest=longest)
        case entries.ChoiceColumn(words=words):
            if len({word.lower() for word in words}) < len(words):
                raise source.error((*at, "words"), "has a word twice; case makes no difference")
            return columns.Choice(optional, words=tuple(words))
        case entries.PostalCodeColumn():
            return columns.PostalCode(optional)
        case entries.UUIDColumn():
            return columns.UUID(optional)
        case entries.DateColumn():
            return columns.Date(optional)
        case entries.TimeOfDayColumn():
            return columns.TimeOfDay(optional)
        case entries.BooleanColumn(true=true, false=false):
            return columns.Boolean(optional, tuple(true), tuple(false))
        case entries.TimeColumn():
            return _time_type(source, at, entry)


def _time_type(source: Source, at: Keys, entry: entries.TimeColumn) -> ColumnType:
    format, zone, optional = entry.format, entry.zone, entry.optional
    if format == "iso":
        return columns.ISOTimestamp(optional, zone, entry.days)
    if entry.days:
        raise source.error((*at, "days"), 'is for format = "iso": another format without a time of day is its midnight')
    if format not in UNIX:
        return columns.FormattedTimestamp(optional, zone, format)
    if zone != "UTC":
        raise source.error((*at, "zone"), "is for local times, and Unix time is none")
    return columns.UnixTimestamp(optional, UNIX[format])


def _moment(source: Source, at: Keys, entry: entries.FeedEntry) -> Moment:
    time = entry.time
    where: Keys = (*at, "time")
    if bool(time.column) == bool(time.day or time.clock) or bool(time.day) != bool(time.clock):
        raise source.error(where, "needs the key column, or day and clock together")
    if time.column:
        column = entry.columns[known_column(source, (*where, "column"), time.column, entry.columns)]
        if not isinstance(column, entries.TimeColumn):
            raise source.error((*where, "column"), f"names {time.column}, which is no column of type time")
        if time.zone != "UTC":
            raise source.error((*where, "zone"), f"is for day and clock: give the zone to the column {time.column}")
        return moment_at(time.column, At(time.at))
    for key, name, wanted in (("day", time.day, "date"), ("clock", time.clock, "time_of_day")):
        found = entry.columns[known_column(source, (*where, key), name, entry.columns)]
        if type(found).__struct_config__.tag != wanted:
            raise source.error((*where, key), f"names {name}, which is no column of type {wanted}")
    return _made(source, where, lambda: day_and_time(time.day, time.clock, time.zone, At(time.at)))


def _day_in_name(source: Source, at: Keys, entry: entries.FeedEntry) -> NamePattern | None:
    if not entry.day_in_name:
        return None
    where: Keys = (*at, "day_in_name")
    if not entry.time.day:
        raise source.error(where, "needs time.day: the column whose place the day in the name takes")
    try:
        pattern = NamePattern(entry.day_in_name)
    except BadEntry as error:
        raise source.error(where, f"is not a regular expression of RE2: {error}") from None
    if DAY_GROUPS - pattern.groups:
        raise source.error(where, "needs the groups (?P<year>...), (?P<month>...) and (?P<day>...)")
    return pattern


def _dimension(
    source: Source,
    at: Keys,
    entry: str | entries.DimensionEntry,
    feed: Feed,
    references: Mapping[str, ReferenceTable],
) -> Dimension:
    known = {column.name: column for column in feed.record_columns}
    if isinstance(entry, str):
        if "." in entry:
            return _attribute(source, at, entry.rpartition(".")[2], entry, feed, references)
        return Dimension(entry, known_column(source, at, entry, known))
    if "." in entry.column:
        if entry.grid or entry.ignore_case:
            raise source.error((*at, "column"), "is an attribute, which has neither grid nor ignore_case")
        return _attribute(source, (*at, "column"), entry.name, entry.column, feed, references)
    if not entry.grid:
        return Dimension(
            entry.name,
            known_column(source, (*at, "column"), entry.column or entry.name, known),
            folded=entry.ignore_case,
        )
    if len(entry.grid) != 2 or entry.column or entry.ignore_case:
        raise source.error(
            (*at, "grid"), "needs two columns, latitude and longitude, and neither column nor ignore_case"
        )
    latitude, longitude = (
        known_column(source, (*at, "grid", index), name, known) for index, name in enumerate(entry.grid)
    )
    for index, (column, most) in enumerate(((latitude, 90), (longitude, 180))):
        type_ = known[column].type
        if not isinstance(type_, columns.Decimal) or type_.minimum < -most or type_.maximum > most:
            raise source.error(
                (*at, "grid", index), f"names {column}, which is no column of decimals from -{most} to {most}, degrees"
            )
    return GridCell(entry.name, latitude, longitude=longitude, per_degree=entry.cells_per_degree)


def _attribute(
    source: Source, at: Keys, name: str, text: str, feed: Feed, references: Mapping[str, ReferenceTable]
) -> Attribute:
    """Return the dimension of a text such as ``cell_id.region``: a column of the feed, and what is known of it."""
    column, _, attribute = text.rpartition(".")
    described = {
        described_column: reference
        for reference in references.values()
        for of, described_column in reference.describes
        if of == feed.name
    }
    if column not in described:
        known = instead(column, described) if described else "no reference describes a column of the feed"
        raise source.error(at, f"names an attribute of {column}: {known}")
    reference = described[column]
    if attribute not in {one.name for one in reference.columns} - {reference.key}:
        known = instead(attribute, dict.fromkeys(reference.texts))
        raise source.error(at, f"names no attribute of the reference {reference.name}: {known}")
    return Attribute(name, column, reference=reference, attribute=attribute)
