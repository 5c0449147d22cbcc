"""The pages that are looked at: by axe-core in the tests, and by people on screenshots."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """A page: its name, its address, and whether somebody has to be logged in who may see it all."""

    name: str
    address: str
    personal: bool = False


LOOKS = (
    Look("overview", "/"),
    Look("kpi", "/kpis/1/"),
    Look("kpi-group", "/kpis/7/?operator=Bear+Wireless"),
    Look("operators", "/operators/"),
    Look("login", "/login/"),
)
SIZES = {"wide": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
