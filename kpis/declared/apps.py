from django.apps import AppConfig


class DeclaredConfig(AppConfig):
    name = "kpis.declared"
    label = "declared"
    verbose_name = "Declared KPIs"
    default_auto_field = "django.db.models.BigAutoField"
