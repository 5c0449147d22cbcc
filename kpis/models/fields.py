"""Column types that mean the same on every database."""

from __future__ import annotations

from django.db import models


class ExactCharField(models.CharField):
    """Text that is compared letter by letter: MySQL's and MariaDB's default collations fold case and accents."""

    def db_parameters(self, connection):
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters
