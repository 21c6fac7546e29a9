"""What is printed: on a terminal, and for other programs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import elasticsearch
import pytest
from rich.cells import cell_len

from tests.conftest import Run
from tests.documents import documents
from tests.repository import Repository, linear
from tests.search.conftest import INDEX, Look, Search
from tests.terminal import on_a_terminal
from tests.test_errors import one_line

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "ingest"]


def shown(environment: dict[str, str], *arguments: str, columns: int = 100) -> list[str]:
    """What a command shows on a terminal of so many columns, bold and dim print apart."""
    code, text = on_a_terminal([*COMMAND, *arguments], environment | {"TERM": "xterm-256color"}, columns=columns)
    assert code == 0, text
    return [re.sub(r"\x1b\[[012]?m", "", line).rstrip() for line in text.splitlines()]


def test_lines_for_programs(search: Search, searched: Repository) -> None:
    (line,) = search("--author", "Eve")
    date = "2025-03-01T00:00:00Z"
    expected = (
        searched.git("rev-parse", "main^"),
        date,
        "Eve ?[2J",
        str(searched.path),
        "Send ?[31m escapes and a fix",
    )
    assert line.split("\t") == list(expected)


def test_json_lines_are_whole_documents_without_escapes(search: Search, client: elasticsearch.Elasticsearch) -> None:
    lines = search("--json")
    assert sorted(map(json.loads, lines), key=str) == sorted(documents(client, INDEX).values(), key=str)
    assert "\x1b" not in "".join(lines)
    assert [json.loads(line)["subject"] for line in search("parser", "--json", "--limit", "1")] == ["Move the parser"]


def test_a_table_on_a_terminal(environment: dict[str, str], searched: Repository) -> None:
    lines = shown(environment | {"NO_COLOR": "1"}, "search", "leak")
    leak, guide = searched.git("log", "--format=%H", "--reverse", "--grep=leak").split()
    assert lines == [
        "commit    date        author        repository  subject",
        f"{leak[:8]}  2024-02-29  Élodie Brûlé  library     Fix memory leak in the parser",
        f"{guide[:8]}  2024-12-31  Ada Lovelace  library     Write a guide",
        "                                                  … A leak of memory and a typo are described.",
        "2 commits, the most relevant first",
    ]


def test_what_was_found_is_highlighted_in_colour_unless_no_colour_is_wanted(environment: dict[str, str]) -> None:
    for variables, highlighted in (({}, "\x1b[1;31mleak\x1b[0m"), ({"NO_COLOR": "1"}, "\x1b[1mleak\x1b[0m")):
        _, text = on_a_terminal([*COMMAND, "search", "leak"], environment | {"TERM": "xterm-256color"} | variables)
        assert text.count(highlighted) == 2


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_a_table_fits_the_terminal_whatever_is_in_it(environment: dict[str, str], columns: int) -> None:
    lines = shown(environment, "search", "--sort", "date", columns=columns)
    table = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines[:-1]]
    assert len(table) == 9
    assert max(map(cell_len, table)) <= columns
    assert not re.search(r"\x1b(?!\[[\d;]*m)", "".join(lines))


def test_a_cut_table_says_how_many_there_are(environment: dict[str, str]) -> None:
    lines = shown(environment, "search", "--limit", "3")
    assert len(lines) == 5
    assert lines[-1] == "3 of 8 commits, the newest first; more of them: --limit 8"


def test_groups_by_author_as_a_table(environment: dict[str, str]) -> None:
    lines = shown(environment | {"NO_COLOR": "1"}, "search", "--by", "author", "--limit", "2", "--no-merges")
    assert lines == [
        "commits  added  removed  first       last        author",
        "      3      8        0  2022-01-01  2024-12-31  Ada Lovelace",
        "      1      1        0  2025-03-01  2025-03-01  Eve ?[2J",
        "7 commits, and 3 more: --limit 5",
    ]


def test_groups_for_programs(search: Search) -> None:
    assert search("--by", "year") == [
        "1\t1\t0\t2022-01-01\t2022-01-01\t2022",
        "1\t6\t0\t2023-03-01\t2023-03-01\t2023",
        "3\t62\t5\t2024-02-29\t2024-12-31\t2024",
        "3\t1\t0\t2025-01-01\t2025-06-01\t2025",
    ]
    assert [line.split("\t")[5] for line in search("--by", "month", "--limit", "2")] == ["2025-03", "2025-06"]
    assert list(map(json.loads, search("--by", "domain", "--json", "--limit", "1"))) == [
        {"domain": "example.org", "commits": 4, "added": 8, "removed": 0, "first": "2022-01-01", "last": "2025-06-01"}
    ]
    assert [line.split("\t")[0] for line in search("--by", "repo")] == ["7", "1"]
    assert search("--by", "email", "--author", "nobody") == []


def test_no_hits_are_explained(look: Look) -> None:
    def explained(*flags: str) -> list[str]:
        results, (first, *hints) = look("search", *flags)
        assert results == []
        assert first == f"Nothing in {INDEX} matches."
        return [hint.strip() for hint in hints]

    assert explained("--author", "ada", "--since", "2025-07") == ["without --since there would be 4"]
    assert explained("pars", "--author", "grace", "--until", "2024") == [
        "those words alone: nothing matches",
        "words are compared whole; to find longer ones too: pars*",
    ]
    assert explained("--author", "Lovelase") == ["no author holds Lovelase; the closest are Ada Lovelace"]
    assert explained("abcdef012") == ["to see a commit by its hash: ingest show abcdef012"]
    assert look("search", "--count", "nothing") == (["0"], [])


def test_wrong_usage(ingest: Run) -> None:
    one_line(ingest("search", "--since", "soon"), 2, "'soon' is not a date", "2025-03-31")
    one_line(ingest("search", INGEST_INDEX="t-none"), 2, "t-none does not exist at", "make ingest")
    one_line(ingest("search", "--retry-for", "1s", ES_URL="http://127.0.0.1:1"), 5, "for 1 s", "127.0.0.1:1")
    done = ingest("search", "fix", "-typo")
    assert done.returncode == 2
    assert "'fix -typo'" in done.stderr


def test_a_reader_that_has_seen_enough(
    environment: dict[str, str], ingest: Run, tmp_path: Path, client: elasticsearch.Elasticsearch
) -> None:
    alias = {"INGEST_INDEX": "tlong"}
    assert ingest("load", linear(tmp_path / "repository", 3000).path, **alias).returncode == 0
    for command in ("search --json", "export", "search"):
        script = f"set -o pipefail; {sys.executable} -m ingest {command} | head -n 1"
        done = subprocess.run(
            ["bash", "-c", script], env=environment | alias, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)
    exported = ingest("export", "--path", "file-1.txt", **alias).stdout.splitlines()
    assert len({json.loads(line)["hash"] for line in exported}) == len(exported) == 300
    client.indices.delete(index=[*client.indices.get(index="tlong*", expand_wildcards="all")])


def test_make_search_passes_words_and_flags_on(environment: dict[str, str]) -> None:
    variables = {name: value for name, value in environment.items() if not name.startswith("MAKE")}
    command = ["make", "search", 'Q="memory leak" | gui*', "ARGS=--sort date --author 'Élodie Brûlé' --author ada"]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    subjects = [line.split("\t")[4] for line in done.stdout.splitlines()]
    assert subjects == ["Write a guide", "Fix memory leak in the parser"]
