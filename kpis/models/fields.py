"""Column types that mean the same on every database."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.lookups import Exact

from kpis.catalog.folding import fold
from kpis.store.dialects import dialect


class ExactCharField(models.CharField):
    """Text that is compared character by character, also where the database's default collation folds case."""

    def db_parameters(self, connection):
        parameters = super().db_parameters(connection)
        parameters["collation"] = dialect(connection).exact_collation or parameters["collation"]
        return parameters


class FoldedCharField(ExactCharField):
    """The folded text of another column, ``of``, that is written with it; what finds rows by that text.

    ``column__folded=text`` compares with the text folded.
    """

    def __init__(self, *args: Any, of: str = "", **kwargs: Any):
        self.of = of
        super().__init__(*args, **kwargs)

    def deconstruct(self):
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, kwargs | {"of": self.of}

    def pre_save(self, model_instance, add):
        value = fold(getattr(model_instance, self.of))
        setattr(model_instance, self.attname, value)
        return value


@FoldedCharField.register_lookup
class Folded(Exact):
    """``column__folded=text``: the column is the folded text."""

    lookup_name = "folded"

    def get_prep_lookup(self):
        return fold(str(self.rhs))

    def get_rhs_op(self, connection, rhs):
        return f"= {rhs}"
