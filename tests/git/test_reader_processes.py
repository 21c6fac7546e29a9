"""The reader's processes: how they end, and how far they run ahead."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import cast

import psutil
import pytest

from ingest.errors import RepositoryUnavailableError
from ingest.git.reader import Source, read
from ingest.git.seats import Seats
from ingest.git.worker import ANSWERS_WAITING, COMMITS_PER_ANSWER
from tests.git.items import ORIGIN, Item, ours
from tests.git.repositories import History, hashes, text

COMMITS = 6_000
DEADLINE = 60.0


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    history = History()
    last = history.commit({"a": text("a"), "b": text("b")})
    for number in range(1, COMMITS):
        tree = {"a": text("a", changed=[number % 20]), "b": text("b")}
        if number % 50 == 1:
            side = history.commit({"a": text("a"), "c": text("b", changed=[number % 20])}, [last])
            last = history.commit(tree | {"c": text("b", changed=[number % 19])}, [last, side])
        else:
            last = history.commit(tree, [last])
    return history.build(tmp_path_factory.mktemp("long") / "mirror.git")


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    assert psutil.Process().children(recursive=True) == []


def name_of(item: Item, problem: str | None) -> str:
    assert problem is None
    return str(item["data"]["commit"])


def counted(log: Path, item: Item, problem: str | None) -> str:
    """A large result, whose making leaves a byte in ``log``."""
    with log.open("ab") as written:
        written.write(b".")
    return name_of(item, problem) + " " * 10_000


def failing(item: Item, problem: str | None) -> str:
    raise ValueError(f"nothing to say of {item['data']['commit']}")


def reading(
    mirror: Path, render: Callable[[Item, str | None], str] = name_of, workers: int = 2
) -> Generator[str, None, None]:
    results = read(Source(mirror, ORIGIN), hashes(mirror), render, workers=workers)
    return cast(Generator[str, None, None], results)  # all of them can be read


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.name() != "git"]


def gits() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        # One that has ended meanwhile has no name any more.
        with suppress(psutil.NoSuchProcess):
            if child.name() == "git":
                found.append(child)
    return found


def test_workers_give_the_same_items_as_this_process_alone(mirror: Path) -> None:
    assert ours(mirror, workers=3) == ours(mirror, workers=1)


def test_workers_take_seats_as_they_become_free_and_give_them_back(mirror: Path, tmp_path: Path) -> None:
    others, seats = Seats(tmp_path, 2), Seats(tmp_path, 2)
    first, second = others.take(), others.take()
    assert first is not None
    assert second is not None
    assert seats.take() is None
    results = read(Source(mirror, ORIGIN), hashes(mirror), name_of, workers=3, seats=seats)
    taken = {next(results)}
    assert len(workers()) == 1
    with first:
        pass
    while len(workers()) < 2:
        taken.add(next(results))
    assert others.take() is None
    taken |= set(results)
    assert taken == set(hashes(mirror))
    assert workers() == []
    assert others.take() is not None


def test_few_commits_start_no_worker(mirror: Path) -> None:
    results = read(Source(mirror, ORIGIN), hashes(mirror)[:4_000], name_of, workers=2)
    next(results)
    assert workers() == []
    assert len(list(results)) == 3_999


def test_hashes_are_taken_only_as_they_are_needed(mirror: Path) -> None:
    taken = []

    def given() -> Iterator[str]:
        for name in hashes(mirror):
            taken.append(name)
            yield name

    results = read(Source(mirror, ORIGIN), given(), name_of, workers=1)
    next(results)
    assert len(taken) == 2_048
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reader_closed_early_leaves_no_process(mirror: Path, workers: int) -> None:
    results = reading(mirror, workers=workers)
    assert len(set(islice(results, 500))) == 500
    assert psutil.Process().children() != []
    results.close()
    assert psutil.Process().children() == []


def test_a_reader_runs_ahead_of_its_consumer_by_a_bounded_number_of_commits(mirror: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    results = reading(mirror, partial(counted, log))
    next(results)

    def all_wait() -> bool:
        before = log.stat().st_size
        cpu = [process.cpu_times() for process in (*workers(), *gits())]
        time.sleep(0.3)
        return (before, cpu) == (
            log.stat().st_size,
            [process.cpu_times() for process in (*workers(), *gits())],
        )

    wait_for(all_wait)
    # Besides those that wait: one answer in the making, one to be queued, one being sent, one taken.
    assert log.stat().st_size <= 2 * (ANSWERS_WAITING + 4) * COMMITS_PER_ANSWER < COMMITS
    results.close()


def test_a_killed_worker_is_an_error(mirror: Path) -> None:
    results = reading(mirror)
    next(results)
    workers()[0].kill()
    with pytest.raises(RepositoryUnavailableError, match="was killed"):
        list(results)


def test_what_a_killed_git_did_not_write_is_read_again(mirror: Path, tmp_path: Path) -> None:
    with closing(reading(mirror, partial(counted, tmp_path / "log"))) as results:
        names = [next(results)]
        # Nothing is taken meanwhile, so git is there, waiting to go on.
        wait_for(lambda: len(gits()) == 2)
        for process in gits():
            process.kill()
        names.extend(results)
    assert sorted(name.strip() for name in names) == sorted(hashes(mirror))


@pytest.mark.parametrize("killed", ["numstat", "log"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_git_that_is_killed_each_time_is_an_error(
    workers: int, killed: str, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = reading(mirror, workers=workers)
    git = tmp_path / "git"
    git.write_text(f'#!/bin/sh\ncase "$*" in *{killed}*) kill -9 $$;; esac\nPATH={os.environ["PATH"]} exec git "$@"\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(RepositoryUnavailableError, match="git ended by signal 9"):
        list(results)


def test_an_error_in_a_worker_is_raised_with_its_traceback(mirror: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)in failing.*ValueError: nothing to say of "):
        list(reading(mirror, failing))


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGINT))],
)
def test_workers_and_git_end_with_the_process_that_reads(number: signal.Signals, mirror: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.git.test_reader_processes import reading\n"
        "results = reading(Path(sys.argv[1])); print(next(results), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(mirror)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as reader:  # fmt: skip
        assert reader.stdout is not None
        assert len(reader.stdout.readline()) == 41
        below = psutil.Process(reader.pid).children(recursive=True)
        assert len(below) >= 2
        reader.send_signal(number)
        reader.wait(DEADLINE)
        assert psutil.wait_procs(below, DEADLINE)[1] == []
