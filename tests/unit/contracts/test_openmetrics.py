"""OpenMetrics: the families of the KPIs, and the groups of their newest closed intervals."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.registry import KPIS
from kpis.contracts.openmetrics import Group, document
from kpis.models import IntervalSummary
from kpis.query.newest import newest_groups
from tests.factories import MIDNIGHT, make_result, make_summary

AT = int(MIDNIGHT.timestamp())


def parsed(text: bytes) -> dict:
    assert text.endswith(b"# EOF\n")
    families = list(text_string_to_metric_families(text.decode()))
    assert len({family.name for family in families}) == len(families)
    return {family.name: family for family in families}


def samples(family) -> list[tuple]:
    return [(one.labels, one.value, float(one.timestamp)) for one in family.samples]


def test_each_value_of_a_kpi_is_a_gauge_with_unit_and_help():
    found = parsed(document(list(KPIS.values()), lambda kpi: []))
    wanted = sum(len(kpi.measure.values) for kpi in KPIS.values())
    assert len(found) == wanted
    assert {family.type for family in found.values()} == {"gauge"}
    traffic = found["network_analysis_kpi_service_traffic_volume_total_bytes"]
    assert (traffic.unit, traffic.documentation) == (
        "bytes",
        "Services by traffic: bytes up and down: bytes, uplink + downlink",
    )
    # A unit of several words is part of no name.
    assert found["network_analysis_kpi_operator_call_volume_market_share"].unit == ""


@pytest.mark.django_db
def test_the_newest_final_interval_of_each_length_is_shown():
    kpi, later = KPIS[1], MIDNIGHT + timedelta(minutes=5)
    for start, rank, value in ((MIDNIGHT, 1, 5), (later, 1, 2**53 + 1), (later, 2, 7)):
        make_result(kpi, start, rank, total_bytes=value)
    make_result(kpi, later + timedelta(minutes=5), 1, total_bytes=99)
    make_result(kpi, MIDNIGHT, 1, ONE_HOUR, total_bytes=8)
    make_summary(kpi.id, MIDNIGHT)
    make_summary(kpi.id, later)
    make_summary(kpi.id, later + timedelta(minutes=5), state=IntervalSummary.State.PROVISIONAL)
    make_summary(kpi.id, MIDNIGHT, ONE_HOUR)
    (family,) = parsed(document([kpi], newest_groups)).values()
    assert samples(family) == [
        ({"service_id": "1", "interval": "5m"}, float(2**53 + 1), AT + 600),
        ({"service_id": "2", "interval": "5m"}, 7, AT + 600),
        ({"service_id": "1", "interval": "1h"}, 8, AT + 3600),
    ]


def test_personal_kpis_have_no_values_and_missing_means_no_sample():
    def groups_of(kpi):
        assert not kpi.personal
        columns = dict.fromkeys(kpi.dimensions, 'a"b\\c\nd') | dict.fromkeys(kpi.measure.values, 3)
        yield Group(FIVE_MINUTES, MIDNIGHT, columns | ({"average_signal": None} if kpi.id == 7 else {}))

    found = parsed(document([KPIS[5], KPIS[6], KPIS[7]], groups_of))
    assert samples(found["network_analysis_kpi_user_traffic_volume_total_bytes"]) == []
    assert samples(found["network_analysis_kpi_operator_signal_average_signal_ASU"]) == []
    assert samples(found["network_analysis_kpi_operator_signal_number_of_samples"]) == [
        ({"operator": 'a"b\\c\nd', "interval": "5m"}, 3, AT)
    ]


def test_two_kpis_of_one_name_have_two_families():
    kpi = KPIS[1]
    measure = replace(kpi.measure, value="volume_total_bytes")
    twin = replace(kpi, id=99, measure=measure, name="ServiceTraffic", help_texts={})
    assert list(parsed(document([kpi, twin], lambda kpi: []))) == [
        "network_analysis_kpi_service_traffic_volume_total_bytes",
        "network_analysis_kpi_99_volume_total_bytes",
    ]
