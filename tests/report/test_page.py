"""The page in a real browser: its choices, its looks, and that nothing which strangers wrote is obeyed."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from ingest.report import page
from ingest.report.charts import CHARTS
from ingest.report.figures import RANKS, REPOSITORIES, TRAILERS, Figures, Rank, Repository, Series, View
from ingest.report.library import library
from ingest.report.periods import YEARS, Period
from tests.report.conftest import LIBRARY, Show, Shown

FIRST = 2020 * 12
MONTHS = 36
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(2)>",
    "'\"`;alert(3)//",
    "{{ 7 * 7 }}${alert(4)}",
    "a\u2028b\u2029c",
    "javascript:alert(5)",
    "]]>&lt;b&gt;&amp;\\u003c",
    "https://elsewhere.example/x.png",
)


def render(figures: Figures, title: str | None = None) -> str:
    return page.render(figures, library(LIBRARY), title)


def ranks(*names: str, people: int | None = None) -> list[Rank]:
    return [Rank(name, 10 * (len(names) - place), people) for place, name in enumerate(names)]


def view(commits: int, name: str) -> View:
    hours = [0] * 168
    hours[24 + 9] = commits
    return View(
        commits=commits,
        people=3,
        half=1,
        authors=ranks(name, "Bob"),
        domains=ranks("one.example", people=2),
        folders=ranks("src/", "(top level)"),
        files=ranks("src/one.py"),
        reviewers=[],
        trailers=dict.fromkeys(TRAILERS, 0) | {"signed_off_by": commits // 2},
        hours=hours,
    )


def series(factor: int, begun: int = 0) -> Series:
    def each(*values: int) -> list[int]:
        return [0] * begun + [factor * value for value in values] * ((MONTHS - begun) // len(values))

    return Series(each(4, 6), each(1, 0), each(100, 300), each(50, 20), each(2, 1), each(1, 0), each(0, 1))


def repository(origin: str | None, factor: int, begun: int = 0, views: dict[str, View] | None = None) -> Repository:
    dates = ("2020-01-01T00:00:00.000Z", "2022-12-31T00:00:00.000Z")
    return Repository(origin, *dates, series(factor, begun), {"all": view(180 * factor, "Ada")} | (views or {}), 0)


@pytest.fixture
def figures() -> Figures:
    periods = (
        Period("all", "all time", FIRST, FIRST + MONTHS - 1),
        Period("recent", "last 12 months", FIRST + 24, FIRST + 35),
        Period("2021", "2021", FIRST + 12, FIRST + 23),
    )
    origin = "https://example.org/team/one"
    repositories = [
        repository(None, 3, views={"recent": view(180, "Ada"), "2021": view(180, "Eve")}),
        repository(origin, 2, views={"recent": view(120, "Ada"), "2021": view(120, "Eve")}),
        repository("/srv/git/two", 1, 12),
    ]
    made = "2022-12-31T12:00:00+00:00"
    return Figures("commits", made, FIRST, FIRST + 35, 540, 2, 25, periods, repositories)


def overflow(shown: Shown) -> int:
    """Pixels by which the page is wider than the window."""
    return int(shown.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def shades(shown: Shown, selector: str, name: str) -> set[str]:
    """The computed values of a property."""
    script = f"found => found.map(each => getComputedStyle(each)['{name}'])"
    return set(shown.page.locator(selector).evaluate_all(script))


def contrast(shown: Shown, front: str, back: str) -> float:
    """The contrast of two of the page's colours, as the Web Content Accessibility Guidelines define it."""

    def luminance(name: str) -> float:
        value = str(shown.page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')"))
        digits = value.strip().lstrip("#")
        whole = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
        parts = [int(whole[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lighter, darker = sorted((luminance(front), luminance(back)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_everything_is_drawn_without_a_complaint_or_a_request(figures: Figures, show: Show, tmp_path: Path) -> None:
    shown = show(render(figures))
    assert (shown.said, shown.requested) == ([], [(tmp_path / "page.html").as_uri()])
    assert shown.text("h1") == "Commits of 25 repositories"
    assert shown.numbers() == {
        "Commits": "540", "Contributors": "3", "Newcomers": "54", "Lines added": "21.6K", "Lines removed": "3.8K",
        "Merges": "10%", "Half of commits by": "1 person",
    }  # fmt: skip
    for chart in CHARTS:
        assert shown.page.locator(f"#{chart.id} .plot svg path").count() > 0, chart.id
    assert shown.table("trailers") == [["Signed-off-by", "50%", "270"]]
    assert "Nothing in this period." in shown.text("#reviewers")
    remarks = shown.text("footer")
    assert "2 commits are left out" in remarks
    assert "the total holds all 25" in remarks
    assert "shards" not in remarks


def test_the_largest_page_has_less_than_three_megabytes(figures: Figures) -> None:
    months = 30 * 12
    names = [f"{place:03} is a name or a path that is rather long" for place in range(RANKS)]
    listed = ranks(*names, people=10_000)
    full = replace(
        view(100_000, ""), authors=listed, domains=listed, folders=listed, files=listed, reviewers=listed,
        hours=[1234] * 168,
    )  # fmt: skip
    periods = (figures.periods[0], figures.periods[1], *(Period(str(year), str(year), 0, 0) for year in range(YEARS)))
    largest = [
        Repository(str(place), *("2020-01-01T00:00:00.000Z",) * 2, Series(*([12_345] * months for _ in range(7))),
                   {period.key: full for period in periods}, 0)
        for place in range(1 + REPOSITORIES)
    ]  # fmt: skip
    size = len(render(replace(figures, periods=periods, repositories=largest)).encode())
    assert size < 3_000_000


def test_what_several_shards_may_hide_is_told(figures: Figures) -> None:
    several = [replace(each, error=error) for each, error in zip(figures.repositories, (7, 5, 0), strict=True)]
    assert "may be too low by up to 7 commits" in render(replace(figures, repositories=several))


def test_the_choices_change_everything(figures: Figures, show: Show) -> None:
    shown = show(render(figures))
    options = shown.page.locator("#repository option").all_inner_texts()
    assert options == ["All 25 repositories", "example.org/team/one", "/srv/git/two"]
    shown.choose(repository="example.org/team/one", period="2021")
    assert shown.numbers()["Commits"] == "120"
    assert shown.table("authors") == [["Eve", "20"], ["Bob", "10"]]
    assert [row[0] for row in shown.table("commits")][::11] == ["January 2021", "December 2021"]
    assert shown.table("commits")[0] == ["January 2021", "8"]
    assert shown.table("people")[:2] == [["January 2021", "2", "0"], ["February 2021", "0", "2"]]
    assert shown.table("churn")[0] == ["January 2021", "200", "100"]
    assert shown.table("hours")[9] == ["09:00", "0", "120", "0", "0", "0", "0", "0"]
    assert shown.text("#hours-sentence").startswith("Most commits on Tuesday, 09:00 to 10:00. 100%")
    assert shown.page.inner_text("#said") == "example.org/team/one, 2021: 120 commits."
    # A chart whose bars are wider than before was drawn anew.
    assert shown.page.locator("#commits .mark-rect path").count() == 12
    shown.choose(repository="/srv/git/two", period="all time")
    assert shown.table("commits")[0] == ["January 2021", "4"]
    assert shown.said == []


def test_pointing_at_a_bar_tells_its_figures(figures: Figures, show: Show) -> None:
    shown = show(render(figures))
    for chart, words in (("commits", ["When", "January 2020", "Commits", "12"]), ("hours", ["Tuesday", "540"])):
        shown.page.locator(f"#{chart} .plot .mark-rect path, #{chart} .plot .mark-symbol path").first.hover(force=True)
        shown.page.wait_for_selector("#vg-tooltip-element.visible")
        told = shown.text("#vg-tooltip-element")
        assert all(word in told for word in words), told
    assert shown.said == []


def test_a_period_without_commits_says_so(figures: Figures, show: Show) -> None:
    shown = show(render(figures))
    shown.choose(repository="/srv/git/two", period="last 12 months")
    assert shown.text("#nothing") == "No commits of /srv/git/two in this period (last 12 months)."
    assert not shown.page.locator("#shown").is_visible()
    shown.choose(period="all time")
    assert shown.page.locator("#shown").is_visible()


def test_charts_follow_the_width_of_the_window_even_while_they_are_hidden(figures: Figures, show: Show) -> None:
    shown = show(render(figures))
    shown.choose(repository="/srv/git/two", period="last 12 months")
    shown.page.set_viewport_size({"width": 500, "height": 800})
    shown.choose(period="all time")
    shown.page.wait_for_function("document.querySelector('#commits svg').getBoundingClientRect().width < 500")
    drawing = shown.page.locator("#commits .plot svg").bounding_box()
    assert drawing is not None
    assert drawing["width"] > 350
    assert overflow(shown) == 0


def test_the_address_keeps_the_choices(figures: Figures, show: Show) -> None:
    shown = show(render(figures), "#repository=1&period=2021")
    assert shown.numbers()["Commits"] == "120"
    shown.choose(period="all time")
    assert shown.page.url.endswith("#repository=1&period=all")
    shown = show(render(figures), "#repository=77&period=<script>")
    assert shown.numbers()["Commits"] == "540"


def test_a_long_history_is_shown_in_quarters_and_years(figures: Figures, show: Show) -> None:
    for years, first in ((10, "Jan to Mar 2020"), (40, "2020")):
        months = years * 12
        long = Series(*([1] * months for _ in range(7)))
        whole = Period("all", "all time", FIRST, FIRST + months - 1)
        only = replace(figures.repositories[1], series=long)
        shown = show(render(replace(figures, periods=(whole,), now_month=whole.last, repositories=[only], count=1)))
        assert shown.table("commits")[0][0] == first
        assert sum(int(row[1]) for row in shown.table("commits")) == months
        assert len(shown.table("contributors")) == months
        # There is nothing to choose.
        assert not shown.page.locator("#repository").is_visible()


def test_nothing_that_strangers_wrote_is_obeyed(figures: Figures, show: Show, tmp_path: Path) -> None:
    listed = ranks(*HOSTILE)
    hostile = [
        replace(
            each,
            origin=f"https://{name}",
            views={"all": replace(each.views["all"], authors=listed, domains=listed, folders=listed, files=listed,
                                  reviewers=listed)},
        )
        for each, name in zip([figures.repositories[1]] * len(HOSTILE), HOSTILE, strict=True)
    ]  # fmt: skip
    shown = show(render(replace(figures, repositories=hostile), HOSTILE[0]))
    # Line separators would let a name look like two.
    names = [name.replace("\u2028", "?").replace("\u2029", "?") for name in HOSTILE]
    for place in range(len(HOSTILE)):
        shown.page.select_option("#repository", value=str(place))
    shown.choose(period="all time")
    assert [row[0] for row in shown.table("authors")] == [row[0] for row in shown.table("files")] == names
    assert shown.page.title() == HOSTILE[0]
    assert (shown.said, shown.requested) == ([], [(tmp_path / "page.html").as_uri()])
    assert shown.page.locator("script").count() == 3
    assert shown.page.locator("img, b, iframe").count() == 0


def test_the_policy_lets_nothing_run_that_was_added_later(figures: Figures, show: Show) -> None:
    html = render(figures)
    shown = show(
        html.replace("</main>", "<script>document.title = 'taken'</script><img src=x onerror='alert(1)'></main>")
    )
    assert shown.page.title() == "Commits of 25 repositories"
    assert any("Content Security Policy" in line for line in shown.said)
    assert not any(line.startswith("dialog") for line in shown.said)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert "unsafe" not in policy
    assert policy.startswith("default-src &#39;none&#39;;")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(scheme: str, figures: Figures, show: Show) -> None:
    shown = show(render(figures), scheme=scheme)
    (background,) = shades(shown, "body", "background-color")
    assert (background == "rgb(244, 246, 248)") == (scheme == "light")
    for back in ("page", "card"):
        assert contrast(shown, "ink", back) > 7
        assert contrast(shown, "quiet", back) > 4.5
        # Of graphics.
        assert contrast(shown, "first", back) > 3
        assert contrast(shown, "second", back) > 3
    first = {"light": "rgb(31, 102, 201)", "dark": "rgb(109, 177, 255)"}[scheme]
    assert shades(shown, "#commits .mark-rect path", "fill") == {first}
    assert shown.said == []


@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_it_fits_windows_of_any_width(width: int, figures: Figures, show: Show) -> None:
    long = "/".join(["a-folder-with-a-long-name"] * 12)
    (first, *rest) = figures.repositories
    views = {"all": replace(first.views["all"], files=ranks(long, "x" * 300), authors=ranks("y" * 300))}
    repositories = [replace(first, views=views), replace(rest[0], origin=f"https://{long}")]
    shown = show(render(replace(figures, repositories=repositories)), width=width)
    assert overflow(shown) == 0
    for chart in CHARTS:
        plot, drawing = (shown.page.locator(f"#{chart.id} {each}").bounding_box() for each in (".plot", ".plot svg"))
        assert plot is not None
        assert drawing is not None
        assert drawing["width"] <= plot["width"] + 1
        assert drawing["width"] > plot["width"] * 0.9
    shown.choose(repository=f"{long}")
    assert overflow(shown) == 0


def test_labels_of_axes_do_not_overlap(figures: Figures, show: Show) -> None:
    for width in (360, 1280):
        shown = show(render(figures), width=width)
        for chart in CHARTS:
            script = "f => f.map(each => each.getBoundingClientRect()).map(each => [each.left, each.right, each.top])"
            boxes = shown.page.locator(f"#{chart.id} .role-axis-label text:not([opacity='0'])").evaluate_all(script)
            rows: dict[int, list[tuple[float, float]]] = {}
            for left, right, top in boxes:
                if right > left:
                    rows.setdefault(round(top), []).append((left, right))
            for spans in rows.values():
                ordered = sorted(spans)
                assert all(one[1] <= other[0] for one, other in pairwise(ordered)), chart.id


def test_the_keyboard_reaches_choices_and_tables(figures: Figures, show: Show) -> None:
    shown = show(render(figures))
    keyboard = shown.page.keyboard
    keyboard.press("Tab")
    assert shown.page.evaluate("document.activeElement.id") == "repository"
    keyboard.press("ArrowDown")
    shown.choose(period="all time")
    assert shown.numbers()["Commits"] == "360"
    shown.page.focus("#period")
    keyboard.press("Tab")
    assert shown.page.evaluate("document.activeElement.closest('figure').id") == "commits"
    assert not shown.page.locator("#commits table").is_visible()
    keyboard.press("Enter")
    assert shown.page.locator("#commits table").is_visible()


def test_a_screen_reader_is_told_what_each_chart_shows(figures: Figures, show: Show) -> None:
    shown = show(render(figures))
    named = re.findall('- img "(.*)"', shown.page.locator("main").aria_snapshot())
    assert named == [chart.title for chart in CHARTS]
    for chart in CHARTS:
        plot = shown.page.locator(f"#{chart.id} .plot")
        assert plot.get_attribute("role") == "img"
        assert plot.get_attribute("aria-labelledby") == f"{chart.id}-title"
        described = plot.get_attribute("aria-describedby")
        assert len(shown.text(f"#{described}")) > 20
        # What a chart is made of is not read out mark by mark.
        assert plot.locator("> [aria-hidden=true] svg").count() == 1
        heads = shown.page.locator(f"#{chart.id} thead th")
        assert heads.count() >= 2
        assert set(heads.evaluate_all("found => found.map(each => each.scope)")) == {"col"}
        assert set(shown.page.locator(f"#{chart.id} tbody th").evaluate_all("f => f.map(e => e.scope)")) == {"row"}
    assert shown.page.locator("label select").count() == 2
    assert shown.page.locator("#said[role=status]").count() == 1
    assert shown.page.get_attribute("html", "lang") == "en"


def test_it_is_printed_on_paper_without_what_paper_cannot_do(figures: Figures, show: Show) -> None:
    shown = show(render(figures), scheme="dark")
    shown.page.emulate_media(media="print")
    assert shades(shown, "body", "background-color") == {"rgb(255, 255, 255)"}
    assert not shown.page.locator("summary").first.is_visible()
    assert shown.page.locator("#period").is_visible()
    pdf = shown.page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 4
    assert shown.said == []


def test_without_scripts_it_says_why_there_are_no_charts(figures: Figures, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(render(figures), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert "scripts are off" in page.inner_text("body")
    context.close()
