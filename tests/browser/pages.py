"""The pages that are looked at: by axe-core in the tests, and by people on screenshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Theme = Literal["light", "dark"]


@dataclass(frozen=True)
class Look:
    """A page: its name, its address, and whether somebody has to be logged in who may see it all.

    The README shows it in the theme ``in_readme``.
    """

    name: str
    address: str
    personal: bool = False
    in_readme: Theme | None = None


LOOKS = (
    Look("overview", "/", in_readme="light"),
    Look("live", "/live/", in_readme="light"),
    Look("kpi", "/kpis/1/", in_readme="light"),
    Look("kpi-group", "/kpis/7/?operator=Bear+Wireless"),
    Look("operators", "/operators/", in_readme="dark"),
    Look("map", "/map/", in_readme="light"),
    Look("map-signal", "/map/?layer=signal&interval=2"),
    Look("quality", "/quality/"),
    Look("quotas", "/quotas/", personal=True),
    Look("explain", "/explain/?kpi=11&interval=2&start=2021-07-18T00:00Z&operator=Poppy&call_type=CALL"),
    Look("login", "/login/"),
)
SIZES = {"wide": (1440, 900), "phone": (390, 844)}
THEMES: tuple[Theme, ...] = ("light", "dark")
