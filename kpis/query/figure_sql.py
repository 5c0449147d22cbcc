"""The SQL over the lake that computes one value, for ``manage.py query_lake``; made from the catalog alone.

Values of the feed's own intervals come from the KPI's view, those of longer ones from its partials. A KPI that is
joined with a reference table comes from the partials of the other KPI, with the rows of that table in the SQL. One by
attributes comes from partials that are joined with the references' views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from kpis.catalog.folding import SQL_NAME
from kpis.catalog.intervals import ONE_HOUR, Interval
from kpis.catalog.kpis import KPI, Reference
from kpis.catalog.references import VALID_FROM, VALID_TO
from kpis.catalog.sql import listed, quoted

Value = int | str
_INDENT = "    "


def figure_sql(
    kpi: KPI,
    interval: Interval,
    group: Mapping[str, Value] | None = None,
    reference: Sequence[Mapping[str, Value]] = (),
) -> str:
    """Return a SELECT over the views of ``kpis.lake.views`` whose only row has a group's values, or the total.

    ``group`` has the KPI's dimensions; None for the total. ``reference`` has the rows of the KPI's reference table that
    make the group, as they were when the interval was computed; without them the values are those in the database. A
    group that the interval does not have gives no row.
    """
    if group is None:
        return _total(kpi, interval)
    if kpi.reference and reference:
        return _joined(kpi, kpi.reference, interval, group, reference)
    if kpi.reference or (interval.length == kpi.feed.interval and not kpi.attributes):
        return _select(_values(kpi), quoted(kpi.name), [*_during(interval), *_is(kpi, group)])
    if kpi.measure.finish:
        finished = f"({_indented(_finished(kpi, _groups(kpi, interval)))})"
        return _select(_values(kpi), finished, _is(kpi, group))
    of_group = _merged(kpi, _aliased(kpi.measure.merge), [*_during(interval), *_is(kpi, group, spelled=True)])
    return f"{of_group}\nHAVING count(*) > 0"


def _total(kpi: KPI, interval: Interval) -> str:
    """Return SQL for the interval's value over all groups, as in its summary."""
    total = _aliased({kpi.total_column: kpi.measure.total})
    if not kpi.measure.adds_up:
        return _merged(kpi, total, _during(interval))
    if kpi.reference:
        # If no subscriber exceeds the quota, the total is 0.
        return _select(_aliased({"total": f"coalesce({kpi.measure.total}, 0)"}), quoted(kpi.name), _during(interval))
    if interval.length == kpi.feed.interval and not kpi.attributes:
        return _select(total, quoted(kpi.name), _during(interval))
    return _select(total, f"({_indented(_groups(kpi, interval))})", [])


def _merged(kpi: KPI, columns: Sequence[str], conditions: Sequence[str]) -> str:
    """Return SQL for columns of one group's partials, or of all of an interval, with those that the measure adds."""
    if not kpi.measure.windows:
        return _select(columns, _partials(kpi), conditions)
    rows = _select(["*", *_aliased(kpi.measure.windows)], _partials(kpi), conditions)
    windowed = _indented(f"{rows}\nWINDOW same_group AS ()")
    return _select(columns, f"({windowed})", [])


def _joined(
    kpi: KPI,
    reference: Reference,
    interval: Interval,
    group: Mapping[str, Value],
    rows: Sequence[Mapping[str, Value]],
) -> str:
    """Return SQL for a group's values from another KPI's partials, each joined with its row of the reference table."""
    columns = list(rows[0])
    values = [f"({', '.join(_literal(row[column]) for column in columns)})" for row in rows]
    rows_sql = f",\n{_INDENT}".join(values)
    table = f"(VALUES\n{_INDENT}{rows_sql}\n) AS {reference.table}({listed(columns)})"
    source = f"{_partials(kpi.source)}\nJOIN {table} USING ({quoted(reference.on)})"
    merged = _select(_aliased(kpi.measure.merge), source, [*_during(interval), *_is(kpi, group)])
    return f"{merged}\nHAVING {kpi.measure.having}"


def _groups(kpi: KPI, interval: Interval) -> str:
    """Return SQL for all groups of an interval with their values, from the partials."""
    keys = {one.name: f"{SQL_NAME}({quoted(one.spelling)})" if one.folded else quoted(one.name) for one in kpi.by}
    columns = [sql if sql == quoted(name) else f"{sql} AS {quoted(name)}" for name, sql in keys.items()]
    groups = _select([*columns, *_aliased(kpi.measure.merge)], _partials(kpi), _during(interval))
    return f"{groups}\nGROUP BY {', '.join(keys.values())}"


def _finished(kpi: KPI, groups: str) -> str:
    """Return the SQL with the measure's further columns, which depend on the interval's other groups."""
    return f"{_select(['*', *_aliased(kpi.measure.finish)], f'({_indented(groups)})', [])}\nWINDOW same_interval AS ()"


def _select(columns: Sequence[str], source: str, conditions: Sequence[str]) -> str:
    wanted, held = f",\n{_INDENT}".join(columns), f"\n{_INDENT}AND ".join(conditions)
    return f"SELECT {wanted}\nFROM {source}" + (f"\nWHERE {held}" if held else "")


def _values(kpi: KPI) -> list[str]:
    return list(map(quoted, kpi.measure.values))


def _aliased(columns: Mapping[str, str]) -> list[str]:
    return [f"{sql} AS {quoted(name)}" for name, sql in columns.items()]


def _partials(kpi: KPI) -> str:
    """Return SQL for a KPI's partials, with its attributes."""
    source = quoted(f"{kpi.source.name}_partials")
    if not kpi.attributes:
        return source
    columns, joins = ["part.*"], dict[str, None]()
    references = [reference for reference, _ in dict.fromkeys((one.reference, one.column) for one in kpi.attributes)]
    for one in kpi.attributes:
        key, view = kpi.key_of(one), quoted(one.reference.name)
        name = view if references.count(one.reference) == 1 else quoted(f"{one.reference.name}_of_{key.name}")
        value = f"{SQL_NAME}(part.{quoted(key.spelling)})" if key.folded else f"part.{quoted(key.name)}"
        columns.append(f"coalesce({name}.{quoted(one.attribute)}, '') AS {quoted(one.name)}")
        joined = view if name == view else f"{view} AS {name}"
        joins[
            f"\nLEFT JOIN {joined} ON {name}.{quoted(one.reference.key)} = {value}"
            f"\n{_INDENT}AND part.interval_start >= {name}.{VALID_FROM}"
            f"\n{_INDENT}AND ({name}.{VALID_TO} IS NULL OR part.interval_start < {name}.{VALID_TO})"
        ] = None
    joined = f"{source} AS part{''.join(joins)}"
    return f"({_indented(_select(columns, joined, []))})"


def _during(interval: Interval) -> list[str]:
    """Return conditions for the interval; those on the hour limit the folders that are read."""
    first = ONE_HOUR.floor(interval.start)
    if interval.length.usual_minutes > ONE_HOUR.minutes:
        conditions = [f"hour_start >= {_moment(first)}", f"hour_start < {_moment(interval.end)}"]
    else:
        conditions = [f"hour_start = {_moment(first)}"]
    if not (ONE_HOUR.is_aligned(interval.start) and ONE_HOUR.is_aligned(interval.end)):
        conditions += [f"interval_start >= {_moment(interval.start)}", f"interval_start < {_moment(interval.end)}"]
    return conditions


def _is(kpi: KPI, group: Mapping[str, Value], spelled: bool = False) -> list[str]:
    """Return conditions for the group; ``spelled`` for rows of partials, which have the records' spellings."""
    return [
        f"{SQL_NAME}({quoted(one.spelling if spelled else one.name)}) = {SQL_NAME}({_literal(group[one.name])})"
        if one.folded
        else f"{quoted(one.name)} = {_literal(group[one.name])}"
        for one in kpi.by
    ]


def _moment(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'"


def _literal(value: Value) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _indented(query: str) -> str:
    """Indent a query within another's parentheses."""
    return "\n" + "\n".join(f"{_INDENT}{line}" for line in query.splitlines()) + "\n"
