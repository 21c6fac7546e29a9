"""A real browser, and the page in it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.node_cache import node_cache

LIBRARY = node_cache() / "report"
"""Where the script of the charts is kept for all tests."""
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def program() -> str:
    """The browser, which `make browser` installs where it can."""
    found = next(filter(None, map(shutil.which, (os.environ.get("INGEST_BROWSER", ""), *PROGRAMS))), None)
    return found or pytest.fail(
        "There is no Chromium: run `make browser` as root on Debian or Ubuntu, install it with your system's package "
        "manager, or name it in INGEST_BROWSER."
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium's sandbox does not work as root.
        sandbox = () if os.geteuid() else ("--no-sandbox",)
        browser = playwright.chromium.launch(executable_path=program(), args=[*QUIET, *sandbox])
        yield browser
        browser.close()


@dataclass
class Shown:
    """A page in the browser.

    :ivar said: what the page or the browser complained of
    :ivar requested: addresses that were asked for
    """

    page: Page
    said: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what happens from now on."""

        def console(message: ConsoleMessage) -> None:
            self.said.append(f"{message.type}: {message.text}")

        self.page.on("console", console)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.requested.append(request.url))

    def ready(self) -> None:
        """Wait until everything is drawn."""
        self.page.wait_for_selector("main[aria-busy=false]", state="attached")

    def choose(self, **choices: str) -> None:
        """Choose options by their label, and wait for what they show."""
        for name, label in choices.items():
            self.page.select_option(f"#{name}", label=label)
        self.page.wait_for_function("turn.then(() => true)")
        self.ready()

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def numbers(self) -> dict[str, str]:
        """The numbers at the top."""
        names, values = (self.page.locator(f"#numbers {each}").all_inner_texts() for each in ("dt", "dd"))
        return dict(zip(names, values, strict=True))

    def table(self, name: str) -> list[list[str]]:
        """The rows of a chart's table or a list, the head left out."""
        script = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        rows: list[list[str]] = self.page.locator(f"#{name} tbody tr").evaluate_all(script)
        return rows


@pytest.fixture
def home(home: Path) -> Path:
    """An INGEST_HOME that finds the script of the charts where it is kept."""
    LIBRARY.mkdir(parents=True, exist_ok=True)
    home.mkdir(mode=0o700)
    (home / "report").symlink_to(LIBRARY)
    return home


Show = Callable[..., Shown]


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Show]:
    """Open a page, given as HTML or as a file; `options` are those of a browser context."""
    with ExitStack() as opened:

        def open_page(source: str | Path, fragment: str = "", width: int = 1280, scheme: str = "light") -> Shown:
            file = source if isinstance(source, Path) else tmp_path / "page.html"
            if isinstance(source, str):
                file.write_text(source, encoding="utf-8")
            context = browser.new_context(
                viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
            )
            opened.callback(context.close)
            shown = Shown(context.new_page())
            shown.watch()
            shown.page.goto(f"{file.as_uri()}{fragment}")
            shown.ready()
            return shown

        yield open_page
