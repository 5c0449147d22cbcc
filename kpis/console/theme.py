"""The two themes, light and dark: the colours of pages and charts, and Vega's configuration with them."""

from __future__ import annotations

from dataclasses import dataclass, fields

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Theme:
    """The colours of a theme. ``categories`` can be distinguished also with impaired colour vision."""

    name: str
    ground: str  # behind the cards
    surface: str  # of cards and charts
    raised: str  # of what lies on cards: table heads, buttons
    ink: str
    muted: str  # second text; 4.5:1 on ground and surface
    line: str  # rules and borders
    grid: str  # in charts
    accent: str  # links, the first series
    wash: str  # the accent, as a background
    rest: str  # what is left over, beside the accent
    good: str
    bad: str
    bad_wash: str
    warn: str
    warn_wash: str
    categories: tuple[str, ...]

    @property
    def properties(self) -> dict[str, str]:
        """Its colours as CSS custom properties."""
        colours = {field.name: getattr(self, field.name) for field in fields(self) if field.type == "str"}
        del colours["name"]
        numbered = {f"category-{number}": colour for number, colour in enumerate(self.categories, start=1)}
        return {f"--{name.replace('_', '-')}": colour for name, colour in {**colours, **numbered}.items()}

    @property
    def config(self) -> dict:
        """Vega-Lite's configuration in these colours."""
        text = {"labelColor": self.muted, "titleColor": self.muted, "labelFontSize": 11.5, "titleFontSize": 11.5}
        return {
            "background": self.surface,
            "font": FONT,
            "padding": {"left": 4, "right": 8, "top": 8, "bottom": 4},
            "view": {"stroke": None},
            "title": {
                "anchor": "start",
                "color": self.ink,
                "fontSize": 16,
                "fontWeight": 600,
                "subtitleColor": self.muted,
                "subtitleFontSize": 12,
                "subtitlePadding": 5,
                "offset": 14,
            },
            "axis": text
            | {
                "domain": False,
                "ticks": False,
                "gridColor": self.grid,
                "labelPadding": 7,
                "titleFontWeight": 500,
                "titlePadding": 10,
            },
            "axisX": {"grid": False, "domain": True, "domainColor": self.line, "labelFlush": False},
            "axisQuantitative": {"tickCount": 5},
            "legend": text
            | {
                "orient": "top",
                "direction": "horizontal",
                "title": None,
                "labelFontSize": 12,
                "symbolType": "circle",
                "symbolSize": 80,
                "offset": 12,
                "columns": 3,
                "columnPadding": 16,
                "labelLimit": 220,
            },
            "range": {"category": list(self.categories)},
            "bar": {"cornerRadiusEnd": 3},
            "line": {"strokeWidth": 2, "strokeJoin": "round", "strokeCap": "round"},
            "area": {"line": False},
        }


# The categories are Paul Tol's "bright" and "light" schemes (https://personal.sron.nl/~pault/), in an order in which
# the first ones differ most.
LIGHT = Theme(
    name="light",
    ground="#f5f6f8",
    surface="#ffffff",
    raised="#f0f2f5",
    ink="#17202a",
    muted="#566270",
    line="#dde2e8",
    grid="#edf0f3",
    accent="#1d5fae",
    wash="#e8f0fa",
    rest="#b4bdc8",
    good="#1a7340",
    bad="#b3261e",
    bad_wash="#fceceb",
    warn="#8a5300",
    warn_wash="#fdf3e1",
    categories=("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb"),
)
DARK = Theme(
    name="dark",
    ground="#0e1217",
    surface="#161b22",
    raised="#1f262f",
    ink="#e6eaef",
    muted="#9ba7b4",
    line="#2b333e",
    grid="#232a33",
    accent="#7db3f5",
    wash="#1a2a3e",
    rest="#566373",
    good="#5ec98a",
    bad="#ff8f86",
    bad_wash="#3a1d1c",
    warn="#e9b357",
    warn_wash="#33260f",
    categories=("#77aadd", "#ee8866", "#44bb99", "#eedd88", "#99ddff", "#ffaabb", "#dddddd"),
)
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}
