"""The script that draws the charts: Vega-Lite and all that it needs, in one piece."""

from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from ingest.errors import UsageError
from ingest.report import file

_NOTICE: Final = (
    "/*! Vega, Vega-Lite, Vega-Embed (BSD-3-Clause, https://vega.github.io) and D3 (ISC, https://d3js.org), with what "
    "they need, as vl-convert bundles them (https://github.com/vega/vl-convert) */\n"
)


def library(folder: Path) -> str:
    """A script that sets ``vegaEmbed``.

    :param folder: where it is kept, because putting it together takes seconds; one that cannot be written costs them
        every time
    """
    kept = folder / f"vega-lite-{version('vl-convert-python')}.js"
    with suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    # Imported here, because it is large, and mostly not needed.
    import vl_convert  # noqa: PLC0415

    script = f"{_NOTICE}{vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;')}\n"
    with suppress(OSError, UsageError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write(kept, script)
    return script
