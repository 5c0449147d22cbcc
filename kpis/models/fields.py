"""Column types that mean the same on every database."""

from __future__ import annotations

import re

from django.db import models
from django.db.models.lookups import Exact


class ExactCharField(models.CharField):
    """Text that is compared letter by letter: MySQL's and MariaDB's default collations fold case and accents."""

    def db_parameters(self, connection):
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters


@ExactCharField.register_lookup
class Folded(Exact):
    """``column__folded=text``: the column is the text, whatever the letter case of either.

    What "iexact" asks for, but also of a column that MySQL and MariaDB compare letter by letter, and in SQLite also
    of letters beyond ASCII.
    """

    lookup_name = "folded"
    prepare_rhs = True

    def as_sql(self, compiler, connection):
        column, column_params = self.process_lhs(compiler, connection)
        text, (value,) = self.process_rhs(compiler, connection)
        # The text as it is as well, for servers whose locale cannot lower its letters.
        return f"(LOWER({column}) = {text} OR {column} = {text})", [
            *column_params,
            value.lower(),
            *column_params,
            value,
        ]

    def as_sqlite(self, compiler, connection):
        column, column_params = self.process_lhs(compiler, connection)
        text, (value,) = self.process_rhs(compiler, connection)
        return f"{column} REGEXP {text}", [*column_params, rf"(?is)\A{re.escape(value)}\Z"]
