"""The migrations of declared KPIs' tables: modules in the folder CATALOG_MIGRATIONS."""

from django.conf import settings

__path__ = [f"{settings.CATALOG_MIGRATIONS}"]
