"""A KPI's table is what its entry says: columns, constraints and indexes, with their names."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace

import pytest
from django.db import models
from django.db.models import F, Q
from django.test.utils import isolate_apps
from rest_framework.settings import api_settings

import kpis.models
from kpis.api.filtersets import anomaly_filterset
from kpis.api.pagination import KeysetPagination
from kpis.catalog import columns
from kpis.catalog.dimensions import Dimension, GridCell
from kpis.catalog.feeds import Column, Feed, Moment
from kpis.catalog.formats import CSV
from kpis.catalog.intervals import EPOCH, FIVE_MINUTES, ONE_HOUR
from kpis.catalog.kpis import KPI, Reference
from kpis.catalog.measures import Count, CountDistinct, Mean, Sum, SumOverQuota
from kpis.catalog.names import EVERY_ROW, OF_MODELS, PARAMETERS
from kpis.catalog.registry import KPIS
from kpis.catalog.result_columns import BadEntry
from kpis.console.selection import Selection
from kpis.models import result_models
from kpis.models.fields import ExactCharField, FoldedCharField
from kpis.models.result_models import KPIResult, make_result_model, result_model

PROBES = Feed(
    name="probes",
    description="Probes: round trips by site",
    format=CSV(),
    file_names=("probes.*",),
    endings=(".csv",),
    columns=(
        Column("time", columns.MonthFirst()),
        Column("site", columns.Text(optional=True, longest=40), "what the site is called"),
        Column("probe", columns.UUID()),
        Column("port", columns.Integer(maximum=65535), "TCP port"),
        Column("target", columns.Integer(minimum=-(2**63))),
        Column("kind", columns.Choice(words=("PING", "TRACE"))),
        Column("hops", columns.Integer(optional=True)),
        Column("drift", columns.Integer(minimum=-10)),
        Column("lat", columns.Decimal(optional=True)),
        Column("long", columns.Decimal(optional=True)),
        Column("delay", columns.Decimal(optional=True), "ms"),
    ),
    checks=(),
    moment=Moment("time", "time", lambda record: record["time"]),
    interval=FIVE_MINUTES,
)

DELAY = KPI(
    id=99,
    name="SiteTCPDelay",
    description="Sites by average delay",
    feed=PROBES,
    by=(Dimension("site", "site", folded=True), Dimension("tcp_port", "port"), Dimension("target", "target")),
    measure=Mean("average_delay", column="delay", samples="samples", empty="without"),
    unit="ms",
    lengths=(FIVE_MINUTES, ONE_HOUR),
    help_texts={"samples": "answers", "target": "number of the target"},
    plural="delays by site",
)

BUILT_IN = dict(result_models.RESULT_MODELS)


@pytest.fixture(autouse=True)
def no_tables(monkeypatch):
    """A registry of result models that has none, and that the others do not see."""
    monkeypatch.setattr(result_models, "RESULT_MODELS", {})
    with isolate_apps("kpis"):
        yield


def made(kpi: KPI) -> type[models.Model]:
    return make_result_model(kpi, "kpis.models.results")


def own_columns(model: type[models.Model]) -> list[tuple]:
    """The columns after those that every KPI has: name, class, and what else its definition says."""
    every = ["id", "interval_start_timestamp", "interval_end_timestamp", "interval", "rank"]
    fields = model._meta.local_concrete_fields
    assert [field.name for field in fields[:5]] == every
    return [(field.name, type(field), field.deconstruct()[3]) for field in fields[5:]]


def test_the_columns_are_those_of_the_entry():
    assert own_columns(made(DELAY)) == [
        ("site", ExactCharField, {"max_length": 40, "blank": True, "help_text": "what the site is called"}),
        ("tcp_port", models.IntegerField, {"help_text": "TCP port"}),
        ("target", models.BigIntegerField, {"help_text": "number of the target"}),
        (
            "average_delay",
            models.FloatField,
            {"null": True, "help_text": "ms, over the samples; empty where there are none"},
        ),
        ("samples", models.BigIntegerField, {"help_text": "answers"}),
        ("without", models.BigIntegerField, {"help_text": "records without one, left out of the average"}),
        (
            "site_folded",
            FoldedCharField,
            {
                "of": "site",
                "max_length": 120,
                "default": "",
                "editable": False,
                "help_text": "site without letter case, by which it is found",
            },
        ),
    ]


def test_constraints_and_indexes_are_named_after_the_table():
    model = made(DELAY)
    interval = ["interval_start_timestamp", "interval"]
    assert model._meta.constraints == [
        models.UniqueConstraint(fields=[*interval, "rank"], name="sitetcpdelay_rank_once"),
        models.CheckConstraint(
            condition=Q(interval_start_timestamp__lt=F("interval_end_timestamp")), name="sitetcpdelay_start_lt_end"
        ),
        models.CheckConstraint(condition=Q(rank__gte=1), name="sitetcpdelay_rank_gte_1"),
        models.UniqueConstraint(fields=["site", "tcp_port", "target", *interval], name="sitetcpdelay_group_once"),
        models.CheckConstraint(condition=Q(samples__gte=0), name="sitetcpdelay_samples_gte_0"),
        models.CheckConstraint(condition=Q(without__gte=0), name="sitetcpdelay_without_gte_0"),
    ]
    assert model._meta.indexes == [models.Index(fields=["site_folded", *interval, "rank"], name="sitetcpdelay_folded")]


def test_a_table_is_called_what_the_entry_is_called():
    model = made(DELAY)
    assert (model.__module__, model.__qualname__) == ("kpis.models.results", "SiteTCPDelay")
    assert model.__doc__ == "KPI 99: Sites by average delay."
    assert model._meta.db_table == "kpis_sitetcpdelay"
    assert model._meta.verbose_name == "site TCP delay"
    assert model._meta.verbose_name_plural == "delays by site"
    assert model._meta.ordering == ["interval_start_timestamp", "interval", "rank"]
    row = model(site="Vega", tcp_port=443, target=-1, average_delay=1.5)
    assert str(row) == "site Vega, tcp_port 443, target -1: 1.5 ms"


def test_a_name_without_acronyms_and_a_plural_with_an_s_are_left_to_django():
    model = made(replace(DELAY, name="SiteDelay", plural=""))
    assert {"verbose_name", "verbose_name_plural"}.isdisjoint(model._meta.original_attrs)
    assert (model._meta.verbose_name, model._meta.verbose_name_plural) == ("site delay", "site delays")


def test_two_folded_dimensions_have_an_index_each():
    by = (Dimension("site", "site", folded=True), Dimension("kind", "kind", folded=True))
    model = made(replace(DELAY, by=by, help_texts={}))
    order = ["interval_start_timestamp", "interval", "rank"]
    assert [field.name for field in model._meta.local_concrete_fields[-2:]] == ["site_folded", "kind_folded"]
    assert model._meta.indexes == [
        models.Index(fields=["site_folded", *order], name="sitetcpdelay_folded"),
        models.Index(fields=["kind_folded", *order], name="sitetcpdelay_folded_2"),
    ]


def test_an_index_has_a_name_that_django_takes_however_long_the_kpis():
    (index,) = made(replace(DELAY, name="RoundTripDelayOfProbesBySite"))._meta.indexes
    assert len(index.name) <= 30
    assert made(replace(DELAY, id=98, name="RoundTripDelayOfProbesBySite2"))._meta.indexes[0].name != index.name


@pytest.mark.parametrize(
    ("dimension", "kind", "said"),
    [
        (Dimension("probe", "probe"), ExactCharField, {"max_length": 36, "help_text": "UUID"}),
        (Dimension("kind", "kind"), ExactCharField, {"max_length": 5, "help_text": "PING or TRACE"}),
        (Dimension("drift", "drift"), models.BigIntegerField, {}),
        (
            GridCell("place", "lat", longitude="long", per_degree=10),
            ExactCharField,
            {
                "max_length": 20,
                "blank": True,
                "help_text": "south-west corner of 0.1 degrees, latitude,longitude; empty for no place",
            },
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Dimension) else "",
)
def test_a_dimension_has_its_feed_columns_type(dimension, kind, said):
    first, *_ = own_columns(made(replace(DELAY, by=(dimension,), help_texts={})))
    assert first == (dimension.name, kind, said)


SUBSCRIBERS = Reference(
    "subscribers",
    on="probe",
    columns=(Column("probe", columns.UUID()), Column("email", columns.Text(longest=254))),
)
SITES = KPI(
    id=97,
    name="Sites",
    description="Sites by records",
    feed=PROBES,
    by=(Dimension("probe", "probe"),),
    measure=Sum("total", columns=("port",)),
    unit="ports",
    lengths=(ONE_HOUR,),
)


@pytest.mark.parametrize(
    ("measure", "values", "checks"),
    [
        (
            Sum("total", columns=("port", "hops")),
            [("total", models.BigIntegerField, {"help_text": "ports"})],
            [models.CheckConstraint(condition=Q(total__gte=0), name="sites_total_gte_0")],
        ),
        (
            Sum("total", columns=("port", "drift")),
            [("total", models.BigIntegerField, {"help_text": "ports"})],
            [],
        ),
        (
            CountDistinct("ports", column="port"),
            [("ports", models.BigIntegerField, {"help_text": "distinct port"})],
            [models.CheckConstraint(condition=Q(ports__gte=1), name="sites_ports_gte_1")],
        ),
        (
            Count("records", share="share"),
            [
                ("records", models.BigIntegerField, {}),
                ("share", models.FloatField, {"help_text": "of the interval's total, 0 to 1"}),
            ],
            [
                models.CheckConstraint(condition=Q(records__gte=1), name="sites_records_gte_1"),
                models.CheckConstraint(condition=Q(share__gt=0, share__lte=1), name="sites_share_gt_0_lte_1"),
            ],
        ),
    ],
    ids=["sum", "sum that may be negative", "distinct", "share"],
)
def test_a_measure_says_what_its_values_can_be(measure, values, checks):
    model = made(replace(SITES, measure=measure))
    assert own_columns(model)[1:] == values
    assert model._meta.constraints[4:] == checks


def test_dimensions_of_a_reference_have_its_columns_types():
    over = replace(
        SITES,
        by=(Dimension("email", "email"),),
        measure=SumOverQuota("usage", quota="quota"),
        partials_of=SITES,
        reference=SUBSCRIBERS,
    )
    model = made(over)
    assert own_columns(model) == [
        ("email", ExactCharField, {"max_length": 254}),
        ("usage", models.BigIntegerField, {"help_text": "ports"}),
        ("quota", models.BigIntegerField, {"help_text": "ports"}),
    ]
    assert model._meta.constraints[4:] == [
        models.CheckConstraint(condition=Q(usage__gt=F("quota")), name="sites_usage_gt_quota")
    ]


CONTRADICTIONS = {
    "its name must be a capital letter, then letters and digits": {"name": "site_delay"},
    "it has no dimension": {"by": ()},
    "dimension site: the feed probes has no column place": {"by": (Dimension("site", "place"),)},
    "dimension site: subscribers has no column site": {"partials_of": SITES, "reference": SUBSCRIBERS},
    "subscribers has no column target to be joined on": {"reference": replace(SUBSCRIBERS, on="target")},
    "it joins subscribers with the partials of another KPI, but partials_of names none": {"reference": SUBSCRIBERS},
    "subscribers is joined on probe, which the partials of SiteTCPDelay lack": {
        "partials_of": DELAY,
        "reference": SUBSCRIBERS,
    },
    "dimension cell: the feed probes has no column lon": {"by": (GridCell("cell", "lat", longitude="lon"),)},
    "dimension at: the column time is a MonthFirst, which names no groups": {"by": (Dimension("at", "time"),)},
    "dimension port is folded, but the column port (Integer) has no texts": {
        "by": (Dimension("port", "port", folded=True),)
    },
    "dimension hops: the column hops (Integer) is optional, and only a text can be empty": {
        "by": (Dimension("hops", "hops"),)
    },
    "the column 'Site' must be named by lower-case letters and digits, with single _ between them": {
        "by": (Dimension("Site", "site"),)
    },
    "it has two columns rank; each row also has id, interval_start_timestamp, interval_end_timestamp, interval, rank": {
        "by": (Dimension("rank", "port"),)
    },
    "it has two columns site_folded; each row also has id, interval_start_timestamp, interval_end_timestamp, "
    "interval, rank": {"by": (Dimension("site", "site", folded=True), Dimension("site_folded", "port"))},
    "its measure needs the column bytes, which the feed probes does not have": {
        "measure": Sum("total", columns=("bytes",))
    },
    "total is a sum of port, delay: not all of them are whole numbers": {
        "measure": Sum("total", columns=("port", "delay"))
    },
    "average is a mean of site, which has no numbers": {
        "measure": Mean("average", column="site", samples="samples", empty="without")
    },
    "a column cannot be named interval_end, as its view in SQL over the lake has that column": {
        "measure": Count("interval_end")
    },
    "a column cannot be named save, which Django's models have": {"measure": Count("save")},
    "a dimension cannot be named from, as addresses have that parameter; give it another name": {
        "by": (Dimension("from", "port"),)
    },
    "a dimension cannot be named batch, as its partials have that column; give it another name": {
        "by": (Dimension("batch", "port"),)
    },
    "a dimension cannot be named sum, as its partials have that column; give it another name": {
        "by": (Dimension("sum", "port"),),
        "measure": Sum("total", columns=("port",)),
    },
    "a dimension cannot be named spelled, as its partials have that column; give it another name": {
        "by": (Dimension("site", "site", folded=True), Dimension("spelled", "port")),
    },
    "its partials have two columns site_spelling; give one of the dimensions another name": {
        "by": (Dimension("site", "site", folded=True), Dimension("site_spelling", "port")),
    },
    "it counts the distinct values of port, but its partials have another column of that name": {
        "by": (Dimension("port", "site"),),
        "measure": CountDistinct("ports", column="port"),
    },
    "its help texts name the column place; it has site, average_delay, samples, without": {
        "help_texts": {"place": "where it is"}
    },
}


@pytest.mark.parametrize(("reason", "changes"), CONTRADICTIONS.items(), ids=CONTRADICTIONS)
def test_an_entry_that_contradicts_itself_is_refused_with_the_reason(reason, changes):
    entry = replace(DELAY, by=(Dimension("site", "site"),), help_texts={})
    with pytest.raises(BadEntry) as refused:
        replace(entry, **changes)
    name = changes.get("name", "SiteTCPDelay")
    assert str(refused.value) == f"KPI 99 ({name}): {reason}."


def test_the_names_that_columns_cannot_have_are_those_that_rows_and_addresses_have(monkeypatch):
    monkeypatch.setattr(result_models, "RESULT_MODELS", BUILT_IN)
    names = {*dir(KPIResult), *KPIResult.__annotations__}
    of_models = {name for name in names if re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name)}
    assert of_models - {*OF_MODELS} <= {*EVERY_ROW}
    assert {*OF_MODELS} <= of_models
    filters = {name for kpi in KPIS.values() for name in anomaly_filterset(kpi).base_filters}
    groups = {name for kpi in KPIS.values() for name in kpi.dimensions}
    moments = {name for name in filters if name.startswith("interval_")}
    of_api = (filters - groups - moments) | KeysetPagination.query_params | {api_settings.URL_FORMAT_OVERRIDE}
    selected = Selection(KPIS[1], FIVE_MINUTES, EPOCH, EPOCH, {"service_id": 1}, EPOCH).parameters()
    assert of_api | {*selected} - groups <= PARAMETERS


def test_a_table_is_refused_where_its_id_is_taken_or_a_constraints_name_is_too_long():
    made(DELAY)
    with pytest.raises(BadEntry, match=r"^KPI 99 \(Sites\): SiteTCPDelay has the same id\.$"):
        made(replace(SITES, id=99))
    with pytest.raises(BadEntry, match=r"the constraint averylongname_n{50}_gte_1 would have 70 characters"):
        made(replace(SITES, name="AVeryLongName", measure=Count("n" * 50)))


def test_a_kpis_table_is_found_by_its_entry():
    model = made(DELAY)
    assert result_model(DELAY) is model
    assert model.kpi is DELAY
    with pytest.raises(LookupError, match=r"^KPI 97 \(Sites\) has no table"):
        result_model(SITES)


def test_every_kpi_of_the_catalog_has_its_table_under_its_name():
    assert [*BUILT_IN] == [*KPIS]
    for kpi in KPIS.values():
        model = getattr(kpis.models, kpi.name)
        assert model is BUILT_IN[kpi.id]
        assert model.kpi is kpi
        assert pickle.loads(pickle.dumps(model)) is model  # noqa: S301  made here
