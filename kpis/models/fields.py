"""Column types that mean the same on every database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import Exact

from kpis.catalog.folding import fold
from kpis.store.dialects import dialect


def column(model: type[models.Model], name: str) -> models.Field:
    """Return the field of a model's column; raises FieldDoesNotExist if the model has no column of this name."""
    field = model._meta.get_field(name)
    if not isinstance(field, models.Field):
        raise FieldDoesNotExist(f"{model.__name__} has no column {name}")
    return field


def longest_text(model: type[models.Model], name: str) -> int:
    """Return the greatest number of characters of a text column; raises TypeError if it has no limit."""
    longest = column(model, name).max_length
    if longest is None:
        raise TypeError(f"{model.__name__}.{name} has no greatest length")
    return longest


class ExactCharField(models.CharField):
    """Text that is compared character by character, also where the database's default collation folds case."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, str | None]:
        parameters = super().db_parameters(connection)
        parameters["collation"] = dialect(connection).exact_collation or parameters["collation"]
        return parameters


class FoldedCharField(ExactCharField):
    """The folded text of another column, ``of``, that is written with it; what finds rows by that text.

    ``column__folded=text`` compares with the text folded.
    """

    def __init__(self, *args: Any, of: str = "", **kwargs: Any) -> None:
        self.of = of
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, kwargs | {"of": self.of}

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        value = fold(getattr(model_instance, self.of))
        setattr(model_instance, self.attname, value)
        return value


@FoldedCharField.register_lookup
class Folded(Exact):
    """``column__folded=text``: the column is the folded text."""

    lookup_name = "folded"

    def get_prep_lookup(self) -> str:
        return fold(str(self.rhs))

    def get_rhs_op(self, connection: BaseDatabaseWrapper, rhs: str) -> str:
        return f"= {rhs}"
