"""Names that a column of a KPI's results cannot have, as something else of its rows is called so.

A column of a feed may have any of them, and a dimension another name than its column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

# Columns of every results table besides dimensions and values.
EVERY_ROW = ("id", "interval_start_timestamp", "interval_end_timestamp", "interval", "rank")
# Columns of every table of the lake: in its files, from the folders' names, and in views.
OF_LAKE = ("interval_start", "batch", "year", "month", "day", "hour", "hour_start")
# Columns of a KPI's view in SQL over the lake.
OF_VIEWS = ("interval_start", "interval_end", "year", "month", "day", "hour", "hour_start")
# What a row of a table is in Python besides its columns: a name of Django's models, or of this project's.
OF_MODELS = frozenset(
    {
        "adelete",
        "arefresh_from_db",
        "asave",
        "check",
        "clean",
        "clean_fields",
        "date_error_message",
        "delete",
        "from_db",
        "full_clean",
        "get_constraints",
        "get_deferred_fields",
        "get_interval_display",
        "get_next_by_interval_end_timestamp",
        "get_next_by_interval_start_timestamp",
        "get_previous_by_interval_end_timestamp",
        "get_previous_by_interval_start_timestamp",
        "kpi",
        "objects",
        "pk",
        "prepare_database_save",
        "refresh_from_db",
        "save",
        "save_base",
        "serializable_value",
        "unique_error_message",
        "validate_constraints",
        "validate_unique",
    }
)
# Parameters of addresses of the API and the console, beside which groups are named by their dimensions.
PARAMETERS = frozenset(
    {
        "at",
        "cursor",
        "format",
        "from",
        "groups_page",
        "groups_sort",
        "interval",
        "kpi",
        "page_size",
        "search",
        "start",
        "theme",
        "threshold",
        "times_page",
        "times_sort",
        "to",
        "window",
    }
)


def taken(columns: Iterable[str], dimensions: Iterable[str]) -> Iterator[str]:
    """Yield the reasons why the columns of a KPI's results, some of them dimensions, cannot have their names."""
    columns = list(columns)
    for name, times in Counter([*EVERY_ROW, *columns]).items():
        if times > 1:
            yield f"it has two columns {name}; each row also has {', '.join(EVERY_ROW)}"
    for name in columns:
        if name in OF_VIEWS:
            yield f"a column cannot be named {name}, as its view in SQL over the lake has that column"
        elif name in OF_MODELS:
            yield f"a column cannot be named {name}, which Django's models have"
    for name in dimensions:
        if name in PARAMETERS:
            yield f"a dimension cannot be named {name}, as addresses have that parameter; give it another name"


def free_name(name: str, others: Collection[str]) -> str:
    """Return a name for a dimension: this one, or a longer one if it is among others, or no dimension can have it."""
    name = name if name[:1].isalpha() else f"key_{name}".rstrip("_")
    while name in others or name in PARAMETERS or name in OF_MODELS or name in (*EVERY_ROW, *OF_LAKE, *OF_VIEWS):
        name += "_key"
    return name


def taken_in_partials(dimensions: Iterable[str], measured: Iterable[str], distinct: Iterable[str]) -> Iterator[str]:
    """Yield the reasons why the columns of a KPI's partials cannot have their names.

    These are the dimensions with their spellings, what the measure adds up, and the column whose distinct values count.
    """
    dimensions, measured = list(dimensions), list(measured)
    for name in measured:
        if name in OF_LAKE or measured.count(name) > 1:
            yield f"its measure cannot add up {name!r}, as its partials have another column of that name"
    measured = [*OF_LAKE, *measured]
    for name in dimensions:
        if name in measured:
            yield f"a dimension cannot be named {name}, as its partials have that column; give it another name"
        elif dimensions.count(name) > 1:
            yield f"its partials have two columns {name}; give one of the dimensions another name"
    for name in distinct:
        if name in (*measured, *dimensions):
            yield f"it counts the distinct values of {name}, but its partials have another column of that name"
