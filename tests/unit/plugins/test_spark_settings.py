"""Spark's address comes from one of two variables."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from network_analysis.environment import Group
from network_analysis_spark.master import Master
from network_analysis_spark.settings import connect_address, master_of


@pytest.mark.parametrize(
    ("url", "remote", "found"),
    [
        ("", "", None),
        ("local[2]", "", Master("local[2]")),
        ("", "sc://host:15002", Master("sc://host:15002", is_remote=True)),
    ],
)
def test_the_variable_that_is_set_names_the_master(url, remote, found):
    assert master_of(url, remote) == found


def test_two_addresses_are_refused():
    with pytest.raises(ImproperlyConfigured) as refused:
        master_of("local[*]", "sc://host:15002")
    assert str(refused.value) == "SPARK_MASTER and SPARK_REMOTE are both set; set only one of them."


def test_a_spark_connect_server_has_an_address_of_its_own(monkeypatch):
    monkeypatch.setenv("REMOTE", "spark://host:7077")
    with pytest.raises(ImproperlyConfigured) as refused:
        Group("title").value("REMOTE", "", connect_address, "like sc://host:15002", help="")
    assert str(refused.value) == "REMOTE must be like sc://host:15002, not 'spark://host:7077'."
