"""The charts: what each is called, how it is read, and its Vega-Lite specification.

The page joins them with the figures of the repository and the period that are chosen. Colours are custom properties of
the page's style sheet, so that light, dark and paper need no other charts. No colour says what nothing else says.
"""

from dataclasses import dataclass
from typing import Any, Final

_COUNT: Final = ",d"
_BRIEF: Final = "format(abs(datum.value), abs(datum.value) < 1000 ? ',' : '~s')"
"""Labels with SI prefixes where they save something, as in 1.2k, and without signs."""

_WHEN: Final = (
    "utcdate(datum.value) > 1 ? utcFormat(datum.value, '%-d %b')"
    " : utcFormat(datum.value, utcmonth(datum.value) ? '%b' : '%Y')"
)

_CONFIG: Final[dict[str, Any]] = {
    "background": None,
    "padding": 0,
    "font": "system-ui, sans-serif",
    "aria": False,
    "view": {"stroke": None},
    "axis": {
        "domain": False,
        "ticks": False,
        "grid": True,
        "gridColor": "var(--line)",
        "labelColor": "var(--quiet)",
        "labelFontSize": 12,
        "labelPadding": 6,
        "title": None,
    },
    "text": {"color": "var(--quiet)", "fontSize": 12},
    "rule": {"color": "var(--quiet)"},
}
_SPAN: Final[dict[str, Any]] = {
    "x": {"field": "start", "type": "temporal", "scale": {"type": "utc"}, "axis": {
        "grid": False, "labelExpr": _WHEN, "labelOverlap": "greedy", "labelFlush": True,
        "tickCount": {"expr": "max(2, floor(width / 75))"},
    }},
    "x2": {"field": "end"},
}  # fmt: skip
_BAR: Final = {"type": "bar", "stroke": "var(--card)", "strokeWidth": 0.5}


@dataclass(frozen=True)
class Chart:
    """A chart.

    :ivar id: of its element, and of the function of the page that makes its rows
    :ivar note: how it is read, and what is not exact
    """

    id: str
    title: str
    note: str
    specification: dict[str, Any]
    wide: bool = False


def _chart(height: int, **parts: Any) -> dict[str, Any]:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding", "resize": True},
        "data": {"name": "rows"},
        "config": _CONFIG,
    } | parts


def _vertical(field: str) -> dict[str, Any]:
    axis = {"labelExpr": _BRIEF, "tickCount": 4, "tickMinStep": 1}
    return {"field": field, "type": "quantitative", "axis": axis}


def _tooltip(*fields: tuple[str, str, str]) -> list[dict[str, Any]]:
    when = {"field": "label", "type": "nominal", "title": "When"}
    return [when] + [
        {"field": field, "type": "quantitative", "title": title, "format": form} for field, title, form in fields
    ]


def _bars(field: str, title: str, colour: str) -> dict[str, Any]:
    encoding = _SPAN | {"y": _vertical(field), "y2": {"datum": 0}, "tooltip": _tooltip((field, title, _COUNT))}
    return {"mark": _BAR | {"color": f"var(--{colour})"}, "encoding": encoding}


def _both_ways(up: str, down: str, below: str) -> dict[str, Any]:
    """Bars above and below a line that is zero."""
    tooltip = _tooltip((up, up.capitalize(), _COUNT), (down, down.capitalize(), _COUNT))
    layers: list[dict[str, Any]] = [
        {
            "mark": _BAR | {"color": f"var(--{colour})"},
            "encoding": _SPAN | {"y": _vertical(field), "y2": {"datum": 0}, "tooltip": tooltip},
        }
        for field, colour in ((up, "first"), (below, "second"))
    ]
    return {"layer": [*layers, {"mark": {"type": "rule"}, "encoding": {"y": {"datum": 0}}}]}


_LINE: Final[dict[str, Any]] = {
    "mark": {
        "type": "area", "line": {"color": "var(--first)", "strokeWidth": 2}, "color": "var(--first)", "fillOpacity": 0.2
    },
    "encoding": {
        "x": _SPAN["x"],
        "y": _vertical("contributors"),
        "tooltip": _tooltip(("contributors", "Contributors", _COUNT)),
    },
}  # fmt: skip

_MERGES: Final[dict[str, Any]] = {
    "mark": _BAR | {"color": "var(--first)"},
    "encoding": _SPAN
    | {
        "y": {"field": "share", "type": "quantitative", "axis": {"format": ".0%", "tickCount": 4}},
        "y2": {"datum": 0},
        "tooltip": _tooltip(("share", "Share", ".1%"), ("merges", "Merges", _COUNT), ("commits", "Commits", _COUNT)),
    },
}

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEK: Final[dict[str, Any]] = {
    "mark": {"type": "square", "color": "var(--first)", "opacity": 1},
    "encoding": {
        "x": {"field": "hour", "type": "ordinal", "scale": {"domain": list(range(24))}, "axis": {
            "labelAngle": 0, "grid": False, "values": list(range(0, 24, 3)),
            "labelExpr": "datum.value < 10 ? '0' + datum.value : '' + datum.value",
        }},
        "y": {"field": "day", "type": "ordinal", "scale": {"domain": list(_DAYS)}, "axis": {"grid": False}},
        "size": {
            "field": "commits", "type": "quantitative", "legend": None,
            "scale": {"zero": True, "rangeMin": 0, "rangeMax": {"expr": "pow(min(width / 24, height / 7) - 1, 2)"}},
        },
        "tooltip": _tooltip(("commits", "Commits", _COUNT)),
    },
}  # fmt: skip

CHARTS: Final = (
    Chart("commits", "Commits", "Merges included.", _chart(220, **_bars("commits", "Commits", "first")), wide=True),
    Chart(
        "contributors",
        "Contributors",
        "People with at least one commit in a month.",
        _chart(200, **_LINE),
    ),
    Chart(
        "people",
        "Newcomers and leavers",
        "Above the line: people with their first commit. Below it: people with their last one. Who made a commit less "
        "than a year ago has not left, so that leavers of the last twelve months are not known yet.",
        _chart(200, **_both_ways("newcomers", "leavers", "gone")),
    ),
    Chart(
        "hours",
        "When people work",
        "Day and hour on the clock of the author of each commit. The larger the square, the more commits.",
        _chart(220, **_WEEK),
        wide=True,
    ),
    Chart(
        "churn",
        "Lines added and removed",
        "Above the line: lines added. Below it: lines removed. Merges are left out, because the commits they join "
        "have been counted; generated files count like others.",
        _chart(200, **_both_ways("added", "removed", "negative")),
    ),
    Chart(
        "merges",
        "Merges",
        "Commits with more than one parent, of all commits.",
        _chart(200, **_MERGES),
    ),
)
"""In the order of the page."""
