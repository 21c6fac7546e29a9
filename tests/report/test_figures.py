"""The figures are those that git itself gives, counted another way."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import elasticsearch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import UsageError
from ingest.node import NodeInfo
from ingest.report import folders
from ingest.report.figures import Figures, Rank, View, gather
from ingest.report.folders import candidates
from ingest.report.hours import count_hours
from ingest.report.people import Shares, count_people
from ingest.report.periods import Period, hour_of_week, month_of, offered, start_of
from ingest.report.search import Search, searching
from tests.conftest import Run, run_in, shell
from tests.repository import Repository

NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)
ADA, BOB, EVE = ("Ada", "ada@One.example"), ("Bob", "bob@two.example"), ("Eve", "eve@one.example")
Files = Mapping[str | bytes, str | bytes | None]
Gather = Callable[..., Figures]
SHARED = "report-figures"

# Author, local time and offset, files. Bob's first clock tells another year than UTC.
COMMITS: tuple[tuple[tuple[str, str], str, Files], ...] = (
    (ADA, "2021-03-01T09:30:00 +0530", {"src/a/one.py": "1\n2\n", "README": "x\n"}),
    (ADA, "2021-03-01T10:05:00 +0545", {"src/a/one.py": "1\n3\n"}),
    (BOB, "2021-12-31T22:30:00 -0330", {"src/b/two.py": "1\n"}),
    (ADA, "2022-02-06T23:59:59 -0800", {"docs/three.md": "1\n2\n3\n"}),
    (BOB, "2022-02-07T00:00:00 -0800", {"src/a/one.py": "4\n"}),
    (EVE, "2024-05-05T12:00:00 +0000", {"a.txt": "e\n"}),
    (EVE, "2024-05-05T12:10:00 +0000", {"a.txt": "f\n"}),
)


def build(path: Path) -> Repository:
    """The commits above and a merge."""
    repository = Repository(path)
    for (name, email), when, files in COMMITS:
        trailers = f"\n\nReviewed-by: Rex <rex@{len(files)}.example>\nSigned-off-by: {name} <{email}>"
        commit(repository, (name, email), when, f"Change{trailers if name != 'Eve' else ''}", files)
    repository.git("checkout", "--quiet", "-b", "topic", "HEAD~2")
    commit(repository, BOB, "2024-06-01T08:00:00 +0200", "Topic", {"src/c/four.py": "1\n2\n"})
    repository.git("checkout", "--quiet", "main")
    repository.git("merge", "--quiet", "--no-ff", "--no-commit", "topic")
    commit(repository, ADA, "2024-06-02T08:00:00 +0200", "Merge")
    return repository


def commit(
    repository: Repository, author: tuple[str, str], when: str, message: str, files: Files | None = None
) -> None:
    repository.write(files or {})
    repository.git("add", "--all")
    command = ("commit", "--quiet", "--allow-empty", f"--message={message}")
    repository.git(*command, GIT_AUTHOR_NAME=author[0], GIT_AUTHOR_EMAIL=author[1], GIT_AUTHOR_DATE=when)


@pytest.fixture(scope="module")
def repository(server: NodeInfo, client: elasticsearch.Elasticsearch, folder: Path) -> Iterator[Repository]:
    """Loaded once for all tests of this file, behind SHARED."""
    repository = build(folder / "repository")
    assert run_in(shell(server, SHARED, folder / "home"), "load", repository.path).returncode == 0
    client.indices.refresh(index=SHARED)
    yield repository
    client.indices.delete(index=list(client.indices.get(index=f"{SHARED}*", expand_wildcards="all")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(scope="module")
def found(repository: Repository, client: elasticsearch.Elasticsearch) -> Figures:
    """The figures of that repository."""
    assert repository.path.is_dir()
    return gather(client, SHARED, [], 20, NOW)


@pytest.fixture
def figures(client: elasticsearch.Elasticsearch, alias: str) -> Gather:
    """Figures of what a test has loaded itself."""

    def look(*origins: str) -> Figures:
        client.indices.refresh(index=alias)
        return gather(client, alias, origins, 20, NOW)

    return look


@pytest.fixture
def search(repository: Repository, client: elasticsearch.Elasticsearch) -> Iterator[Callable[[int], Search]]:
    assert repository.path.is_dir()
    with searching(client, SHARED, 20) as opened:
        yield lambda page: Search(client, SHARED, opened.view, 20, page)


def logged(repository: Repository, form: str, *options: str) -> list[str]:
    """One line of git's own log for each commit, months and years in UTC."""
    return repository.git("log", "--all", f"--format={form}", *options, TZ="UTC").splitlines()


def view_of(found: Figures, period: str = "all", place: int = 0) -> View:
    return found.repositories[place].views[period]


def test_every_month_has_the_commits_merges_and_people_that_git_log_has(repository: Repository, found: Figures) -> None:
    (only,) = found.repositories
    months = [start_of(month)[:7] for month in range(found.first_month, found.first_month + len(only.series.commits))]
    assert (months[0], months[-1], len(months)) == ("2021-03", "2024-06", 40)

    def by_month(*options: str) -> list[int]:
        counts = Counter(logged(repository, "%ad", "--date=format-local:%Y-%m", *options))
        return [counts[month] for month in months]

    assert only.series.commits == by_month()
    assert only.series.merges == by_month("--merges")
    pairs = set(logged(repository, "%ad %an", "--date=format-local:%Y-%m"))
    assert only.series.contributors == [sum(pair.startswith(month) for pair in pairs) for month in months]
    assert found.commits == view_of(found).commits == len(logged(repository, "%H")) == 9


def test_lines_are_those_of_commits_that_are_no_merges(repository: Repository, found: Figures) -> None:
    (only,) = found.repositories
    numstat = repository.git("log", "--all", "--no-merges", "--numstat", "--format=").split("\n")
    added, removed = (sum(int(line.split("\t")[column]) for line in numstat if line) for column in (0, 1))
    assert (sum(only.series.added), sum(only.series.removed)) == (added, removed) == (13, 4)


@pytest.mark.parametrize("period", ["all", "recent", "2021", "2022", "2024"])
def test_hours_are_those_of_the_authors_own_clocks(repository: Repository, found: Figures, period: str) -> None:
    within = next(each for each in found.periods if each.key == period)
    expected = [0] * 168
    for line in logged(repository, "%at %ad", "--date=format:%u %H"):
        seconds, day, hour = map(int, line.split())
        expected[(day - 1) * 24 + hour] += month_of(seconds * 1000) in within
    assert view_of(found, period).hours == expected


def test_newcomers_and_leavers_are_counted_in_the_month_of_their_first_and_last_commit(found: Figures) -> None:
    series = found.repositories[0].series

    def months(counts: list[int]) -> dict[str, int]:
        return {start_of(found.first_month + place)[:7]: count for place, count in enumerate(counts) if count}

    # In UTC, Bob's first commit is of the year that follows.
    assert months(series.newcomers) == {"2021-03": 1, "2022-01": 1, "2024-05": 1}
    assert months(series.leavers) == {}


def test_who_has_made_no_commit_for_twelve_whole_months_has_left(
    repository: Repository, client: elasticsearch.Elasticsearch
) -> None:
    assert repository.path.is_dir()
    for now, left in ((datetime(2025, 5, 31, tzinfo=UTC), 0), (datetime(2025, 6, 1, tzinfo=UTC), 1)):
        (only,) = gather(client, SHARED, [], 20, now).repositories
        assert sum(only.series.leavers) == left


def test_lists_name_those_with_most_commits(repository: Repository, found: Figures) -> None:
    view = view_of(found)
    people = Counter(logged(repository, "%an"))
    assert {rank.name: rank.commits for rank in view.authors} == people == {"Ada": 4, "Bob": 3, "Eve": 2}
    assert [rank.commits for rank in view.authors] == [4, 3, 2]
    assert view.domains == [Rank("one.example", 6, 2), Rank("two.example", 3, 1)]
    assert (view.people, view.half) == (3, 2)


@pytest.mark.parametrize("period", ["all", "2022"])
def test_files_and_folders_have_the_commits_that_git_log_has_for_their_path(
    repository: Repository, found: Figures, period: str
) -> None:
    view = view_of(found, period)
    assert view.files
    for rank in (*view.files, *view.folders):
        path = {folders.TOP: ":(glob)*"}.get(rank.name, f":(glob){rank.name.removesuffix('/')}")
        path = f"{path}/**" if rank.name.endswith("/") else path
        years = logged(repository, "%ad", "--date=format-local:%Y", "--no-merges", "--", path)
        assert rank.commits == len([year for year in years if period in ("all", year)]), rank


def test_trailers_and_reviewers_are_counted_without_addresses(repository: Repository, found: Figures) -> None:
    view = view_of(found)
    assert {name: count for name, count in view.trailers.items() if count} == {"signed_off_by": 5, "reviewed_by": 5}
    assert view.reviewers == [Rank("Rex", 5)]
    assert len(logged(repository, "%H", "--grep=^Reviewed-by: Rex")) == 5


def test_several_repositories_have_figures_together_and_alone(tmp_path: Path, ingest: Run, figures: Gather) -> None:
    repository = build(tmp_path / "repository")
    other = Repository(tmp_path / "other")
    commit(other, EVE, "2023-01-01T00:00:00 +0000", "First", {"b.txt": "x\n"})
    assert ingest("load", repository.path, other.path).returncode == 0
    found = figures()
    assert [(each.origin, each.views["all"].commits, each.views["all"].people) for each in found.repositories] == [
        (None, 10, 3), (str(repository.path), 9, 3), (str(other.path), 1, 1)
    ]  # fmt: skip
    assert found.count == 2
    # Eve came to the one repository before she came to the other.
    newcomers = [each.series.newcomers for each in found.repositories]
    january, may = (2023 - 2021) * 12 - 2, (2024 - 2021) * 12 + 2
    assert [(each[january], each[may]) for each in newcomers] == [(1, 0), (0, 1), (1, 0)]
    assert "2022" not in found.repositories[2].views
    narrowed = figures(str(other.path))
    assert [(each.origin, each.views["all"].commits) for each in narrowed.repositories] == [(str(other.path), 1)]
    with pytest.raises(UsageError, match="holds no commit of elsewhere"):
        figures("elsewhere")


def test_dates_that_cannot_be_right_are_left_out(tmp_path: Path, ingest: Run, figures: Gather) -> None:
    repository = Repository(tmp_path / "repository")
    commit(repository, ADA, "2023-01-01T00:00:00 +0000", "Now")
    commit(repository, BOB, "@1000 +0000", "Long ago")
    commit(repository, EVE, "2095-01-01T00:00:00 +0000", "Not yet")
    assert ingest("load", repository.path).returncode == 0
    found = figures()
    assert (found.left_out, found.commits, view_of(found).people) == (2, 1, 1)
    assert [period.key for period in found.periods] == ["all", "recent", "2023"]


def test_pages_of_any_size_give_the_same(repository: Repository, search: Callable[[int], Search]) -> None:
    origin, periods = str(repository.path), (Period("all", "all time", 2021 * 12, 2024 * 12 + 11),)
    everything: dict[str, Any] = {"match_all": {}}

    def counted(page: int) -> tuple[object, object]:
        return (
            count_people(search(page), everything, [origin], periods, month_of(NOW.timestamp() * 1000), 10),
            count_hours(search(page), everything, [origin], periods),
        )

    assert counted(1) == counted(2) == counted(3) == counted(10_000)


def test_periods_are_the_newest_years_that_hold_commits() -> None:
    periods = offered([2000 * 12 + 3, *(year * 12 for year in range(2005, 2024))], NOW)
    assert [each.key for each in periods] == ["all", "recent", *(str(year) for year in range(2023, 2008, -1))]
    assert (start_of(periods[0].first), start_of(periods[1].first)) == ("2000-04-01T00:00:00Z", "2023-07-01T00:00:00Z")


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.integers(-1500, 1500))  # noqa: DTZ001
def test_the_hour_of_the_week_is_that_of_the_calendar(local: datetime, offset: int) -> None:
    milliseconds = int(local.replace(tzinfo=UTC).timestamp()) * 1000 - offset * 60_000
    assert hour_of_week(milliseconds, offset) == local.weekday() * 24 + local.hour


@given(st.lists(st.integers(1, 20), min_size=1))
def test_half_of_the_commits_is_made_by_as_few_as_can_make_it(commits: list[int]) -> None:
    shares = Shares()
    for place, count in enumerate(commits):
        shares.add(str(place), count, 3)
    most_first = sorted(commits, reverse=True)
    assert shares.half() == next(n for n in range(1, len(commits) + 1) if sum(most_first[:n]) * 2 >= sum(commits))
    assert [count for count, _ in shares.ranked()] == most_first[:3]


def test_folders_are_opened_until_they_say_something() -> None:
    packages = {f"src/main/java/org/{name}/X.java": 1 for name in "abcdefghijkl"}
    assert candidates(packages) == ["src/main/java/org/"]
    shallow = {f"{name}/x": 2 for name in "abcdefghijkl"} | {"y": 1}
    assert candidates(shallow) == [*(f"{name}/" for name in "abcdefghijkl"), "*"]
    assert candidates({}) == []
