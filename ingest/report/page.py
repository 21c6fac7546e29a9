"""The page: figures and charts in one HTML file that needs nothing else.

Names, paths and addresses of repositories come from strangers. They reach the page as data in a block of JSON, which no
text can end, and through an escaping template; the page's policy lets no script run but its own two.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ingest.report.charts import CHARTS
from ingest.report.figures import PATHS, RANKS, REPOSITORIES, TRAILERS, Figures
from ingest.report.people import ABSENT
from ingest.report.periods import EARLIEST
from ingest.text import json_text, printable

_HEADS: Final = ("Name", "Commits")
_LISTS: Final[tuple[dict[str, Any], ...]] = (
    {
        "id": "authors", "title": "Top authors", "heads": _HEADS, "people": False,
        "note": "By commits, merges included.",
    },
    {
        "id": "domains", "title": "Top organisations", "heads": ("Domain", "People", "Commits"), "people": True,
        "note": "The domain of the e-mail address of authors; mail providers are among them.",
    },
    {
        "id": "folders", "title": "Most-changed folders", "heads": ("Folder", "Commits"), "people": False,
        "note": "By commits that touch a file below it; a/* means the files right in a. No merges.",
    },
    {
        "id": "files", "title": "Most-changed files", "heads": ("Path", "Commits"), "people": False,
        "note": "By commits that touch it, under the name it had then. No merges.",
    },
    {
        "id": "trailers", "title": "Trailers", "heads": ("Trailer", "Share", "Commits"), "people": False,
        "note": "Commits whose message has such a line.",
    },
    {
        "id": "reviewers", "title": "Top reviewers", "heads": _HEADS, "people": False,
        "note": "By commits that name them in Reviewed-by.",
    },
)  # fmt: skip


def render(figures: Figures, library: str, title: str | None = None) -> str:
    """The page as HTML.

    :param library: the script that draws the charts, see `ingest.report.library`
    :param title: its heading; None: what it shows
    """
    style, script = (_part(name) for name in ("page.css", "page.js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_part("page.html.jinja")).render(
        policy=_policy(style, library, script),
        title=printable(title or _title(figures)),
        index=figures.index,
        left_out=figures.left_out,
        repositories=[_label(figures, each.origin) for each in figures.repositories],
        periods=figures.periods,
        charts=CHARTS,
        lists=_LISTS,
        remarks=list(_remarks(figures)),
        figures=_data(figures),
        style=Markup(style),  # noqa: S704 - our own
        library=Markup(library),  # noqa: S704 - as much to be trusted as any package
        script=Markup(script),  # noqa: S704 - our own
    )


def _part(name: str) -> str:
    return files("ingest.report").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, *scripts: str) -> str:
    """A content security policy: nothing is loaded, and nothing is run or obeyed but these texts."""
    allowed = " ".join(map(_digest, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data(figures: Figures) -> Markup:
    """Everything the script needs, as JSON in which no character means anything to HTML."""
    data = {
        "figures": _printable(asdict(figures)),
        "charts": [asdict(chart) for chart in CHARTS],
        "lists": _LISTS,
        "trailers": {name: name.replace("_", "-").capitalize() for name in TRAILERS},
    }
    text = json_text(data)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - nothing in it ends the block


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {key: _printable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(each) for each in value]
    return value


def _label(figures: Figures, origin: str | None) -> str:
    if origin is None:
        return f"All {figures.count:,} repositories"
    return printable(origin.partition("://")[2] or origin)


def _title(figures: Figures) -> str:
    if len(figures.repositories) != 1:
        return f"Commits of {figures.count:,} repositories" if figures.repositories else "Commits"
    return f"Commits of {'/'.join(_label(figures, figures.repositories[0].origin).split('/')[-2:])}"


def _remarks(figures: Figures) -> Iterator[str]:
    """What a reader should know of how the figures were made."""
    yield f"Made from the Elasticsearch index {figures.index}, by aggregations alone."
    yield (
        "Dates are those on which commits were written (author dates). Months and years are in UTC, and the running "
        "ones are not over."
    )
    if figures.left_out:
        yield (
            f"{figures.left_out:,} commits are left out, because their dates are missing, before {EARLIEST // 12} or "
            "in the future."
        )
    yield "A person is a name, as the mailmap of the repository spells it. A commit of two repositories counts twice."
    yield f"Somebody counts as having left after {ABSENT} whole months without a commit, in the month of the last one."
    yield (
        f"Folders are looked for among the {PATHS:,} paths that most commits touch, and then counted exactly. "
        "The people of an organisation are counted nearly exactly, by the cardinality aggregation."
    )
    yield f"Top reviewers are taken from the {5 * RANKS} spellings of them that most commits name."
    shown = sum(each.origin is not None for each in figures.repositories)
    if figures.count > shown:
        yield (
            f"The {REPOSITORIES} repositories with most commits can be chosen; the total holds all {figures.count:,}. "
            "The option --repo chooses others."
        )
    if error := max((each.error for each in figures.repositories), default=0):
        yield (
            f"The index has several shards, which count apart: a number in the lists of organisations, files and "
            f"reviewers may be too low by up to {error:,} commits."
        )
