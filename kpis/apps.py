from django.apps import AppConfig
from django.conf import settings


class KpisConfig(AppConfig):
    name = "kpis"
    verbose_name = "Network KPIs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        if any(database["ENGINE"].endswith("sqlite3") for database in settings.DATABASES.values()):
            from kpis.store.dialects.sqlite import cache_datetimes

            cache_datetimes()
