"""Feeds and KPIs of a test's own: in the registry, with tables, until the test ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from django.db import connection
from django.test.utils import isolate_apps

from kpis.catalog import registry
from kpis.catalog.feeds import Feed
from kpis.catalog.kpis import KPI
from kpis.models import result_models
from kpis.models.result_models import make_result_model


@contextmanager
def declared(*, feeds: Iterable[Feed] = (), kpis: Iterable[KPI] = ()) -> Iterator[None]:
    """Add feeds and KPIs to the registry, and make the KPIs' tables. SQLite makes none in a transaction."""
    feeds, kpis = list(feeds), list(kpis)
    with ExitStack() as stack:
        stack.enter_context(patch.dict(registry.FEEDS, {feed.name: feed for feed in feeds}))
        stack.enter_context(patch.dict(registry.KPIS, {kpi.id: kpi for kpi in kpis}))
        stack.enter_context(patch.dict(result_models.RESULT_MODELS))
        stack.enter_context(isolate_apps("kpis"))
        models = [make_result_model(kpi, "kpis.models.results") for kpi in kpis]
        with connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)
        try:
            yield
        finally:
            with connection.schema_editor() as editor:
                for model in models:
                    editor.delete_model(model)
