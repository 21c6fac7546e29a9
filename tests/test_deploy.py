"""What lies in deploy/ is read by tools that know its formats, and agrees with the program.

Nothing is started: whether an image exists, and what cron, systemd or a cluster do with a file, is not checked.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import crontab
import pytest
from ruamel.yaml import YAML

from ingest.cli import cli
from ingest.node.distribution import DEFAULT_VERSION
from ingest.settings import Settings
from tests.test_readme import README, ROOT

DEPLOY = ROOT / "deploy"
DOCUMENT = (ROOT / "docs" / "deploy.md").read_text()
PROGRAMS = Path(sys.executable).parent
STATE = "/var/lib/ingest"
DONE_OR_HOPELESS = {0, 1, 2, 3, 4}
"""Exit codes after which the same command, a moment later, gives the same."""


def ran(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False)


def documents(name: str) -> list[Any]:
    return list(YAML(typ="safe").load_all(DEPLOY / name))


def of_kind(kind: str) -> Any:
    (found,) = (each for each in documents("kubernetes-cronjob.yaml") if each["kind"] == kind)
    return found


def job() -> Any:
    return of_kind("CronJob")["spec"]["jobTemplate"]["spec"]


def pod() -> Any:
    return job()["template"]["spec"]


def container() -> Any:
    (only,) = pod()["containers"]
    return only


def services() -> Any:
    (compose,) = documents("compose.yaml")
    return compose["services"]


def jobs(file: Path) -> crontab.CronTab:
    """A system's crontab, in which each line names a user."""
    return crontab.CronTab(tabfile=str(file), user=False)


def unit(name: str) -> dict[str, list[str]]:
    """The values of each key of a unit."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", (DEPLOY / name).read_text(), flags=re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def instructions() -> list[list[str]]:
    """The words of each instruction of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line]


def environment_file() -> dict[str, str]:
    """The variables of the environment file as a shell takes them."""
    script = 'set -eua; . "$0"; exec env -0'
    done = subprocess.run(
        ["sh", "-c", script, DEPLOY / "environment"],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    taken = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)
    return {name: value for name, value in taken.items() if name not in ("PATH", "PWD", "SHLVL", "_")}


def spoiled(name: str, tmp_path: Path, old: str, new: str) -> Path:
    """A copy of a file with a mistake."""
    text = (DEPLOY / name).read_text()
    assert old in text
    copy = tmp_path / name
    copy.write_text(text.replace(old, new, 1))
    return copy


# The formats, each in the words of its tool; and that the tool sees a mistake


def compose_check(file: Path) -> subprocess.CompletedProcess[str]:
    return ran(PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


def test_the_compose_file_follows_the_compose_specification(tmp_path: Path) -> None:
    assert compose_check(DEPLOY / "compose.yaml").returncode == 0
    wrong = compose_check(spoiled("compose.yaml", tmp_path, "mem_limit:", "memory_limit:"))
    assert wrong.returncode == 1
    assert "'memory_limit' was unexpected" in wrong.stdout


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_the_kubernetes_objects_follow_their_schemas(version: str, tmp_path: Path) -> None:
    check = (PROGRAMS / "kubernetes-validate", "--strict", "--kubernetes-version", version)
    done = ran(*check, DEPLOY / "kubernetes-cronjob.yaml")
    assert (done.returncode, done.stdout.count("passed")) == (0, 3)
    wrong = ran(*check, spoiled("kubernetes-cronjob.yaml", tmp_path, "runAsNonRoot:", "runAsNoRoot:"))
    assert wrong.returncode != 0
    assert "runAsNoRoot" in wrong.stdout + wrong.stderr


def test_the_dockerfile_passes_hadolint(tmp_path: Path) -> None:
    done = ran(PROGRAMS / "hadolint", "--failure-threshold", "style", DEPLOY / "Dockerfile")
    assert (done.stdout, done.returncode) == ("", 0)
    wrong = ran(PROGRAMS / "hadolint", spoiled("Dockerfile", tmp_path, "--no-cache-dir ", ""))
    assert wrong.returncode == 1
    assert "DL3042" in wrong.stdout


def test_every_line_of_the_crontab_is_a_job_a_variable_or_a_comment(tmp_path: Path) -> None:
    lines = [line for line in (DEPLOY / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    entries = [line for line in lines if not re.match(r"[A-Z]+=", line)]
    found = [each for each in jobs(DEPLOY / "crontab") if each.is_enabled()]
    assert [each.is_valid() for each in found] == [True] * len(entries) == [True, True]
    assert [each.user for each in found] == ["ingest", "ingest"]
    assert [each.frequency_per_year(year=2026) for each in found] == [365, 52]
    # To cron, a per cent sign is a line break.
    assert not any("%" in each.command for each in found)
    wrong = jobs(spoiled("crontab", tmp_path, "17 3 *", "17 25 *"))
    assert len([each for each in wrong if each.is_enabled()]) == 1


@pytest.fixture
def systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    return found or pytest.skip("systemd-analyze is not installed; the keys of the units are not checked")


def test_systemd_understands_the_units_and_every_key_in_them(systemd_analyze: str, tmp_path: Path) -> None:
    # The tool also looks whether the program exists.
    service = spoiled("ingest.service", tmp_path, "/usr/local/bin/ingest", sys.executable)
    timer = Path(shutil.copy(DEPLOY / "ingest.timer", tmp_path))
    done = ran(systemd_analyze, "verify", "--man=no", service, timer)
    assert (done.stderr, done.returncode) == ("", 0)
    service.write_text(service.read_text().replace("ProtectSystem=", "ProtectTheSystem="))
    assert "'ProtectTheSystem'" in ran(systemd_analyze, "verify", "--man=no", service).stderr


def test_systemd_counts_the_service_among_the_well_protected(systemd_analyze: str) -> None:
    """Its exposure is between 0, none, and 10; below 2 is what it calls OK."""
    done = ran(systemd_analyze, "security", "--offline=true", "--threshold=20", DEPLOY / "ingest.service")
    assert done.returncode == 0, done.stdout


# What the tools cannot see


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command line of ``ingest`` in deploy/ and its document: where it stands, and the words after ``ingest``."""
    for each in jobs(DEPLOY / "crontab"):
        if each.is_enabled():
            words = shlex.split(each.command)
            yield "crontab", words[words.index("ingest") + 1 :]
    for line in unit("ingest.service")["ExecStart"]:
        yield "ingest.service", line.split()[1:]
    yield "kubernetes-cronjob.yaml", container()["args"]
    for name, block in (("compose.yaml", (DEPLOY / "compose.yaml").read_text()), ("deploy.md", DOCUMENT)):
        for line in re.findall(r"docker compose run --rm ingest (.+)", block):
            yield name, line.split()


def test_every_command_line_is_one_that_the_program_takes() -> None:
    found = list(commands())
    assert {where for where, _ in found} == {
        "crontab", "ingest.service", "kubernetes-cronjob.yaml", "compose.yaml", "deploy.md"
    }  # fmt: skip
    for where, (command, *rest) in found:
        shown = ran(sys.executable, "-m", "ingest", command, "--help")
        assert shown.returncode == 0, f"{where}: there is no command {command}"
        for flag in (word for word in rest if word.startswith("-")):
            assert re.search(rf"^\s.*(?<![\w-]){flag}(?![\w-])", shown.stdout, flags=re.MULTILINE), f"{where}: {flag}"


def test_every_environment_variable_is_a_setting_or_documented_by_its_tool() -> None:
    settings = {each.metadata["variable"] for each in fields(Settings)}
    settings |= {f"{each.metadata['variable']}_FILE" for each in fields(Settings) if each.metadata["secret"]}
    settings |= {str(parameter.envvar) for parameter in cli.commands["load"].params if parameter.envvar}
    assert "INGEST_REPO" in settings
    assert set(environment_file()) <= settings
    assert set(of_kind("ConfigMap")["data"]) <= settings
    assert set(services()["ingest"]["environment"]) <= settings
    assert {word.partition("=")[0] for line in instructions() if line[0] == "ENV" for word in line[1:]} <= {
        *settings, "PATH"
    }  # fmt: skip
    # crontab(5)
    assert set(re.findall(r"^(\w+)=", (DEPLOY / "crontab").read_text(), flags=re.MULTILINE)) <= {
        "SHELL", "PATH", "MAILTO"
    }  # fmt: skip
    # Elasticsearch: "Install with Docker", where a setting is a variable of its name; Kibana: "Install with Docker",
    # where a variable is a setting in upper case.
    assert set(services()["elasticsearch"]["environment"]) <= {
        "ELASTIC_PASSWORD", "discovery.type", "xpack.security.enabled", "xpack.security.http.ssl.enabled"
    }  # fmt: skip
    assert set(services()["kibana"]["environment"]) <= {
        "ELASTICSEARCH_HOSTS", "ELASTICSEARCH_USERNAME", "ELASTICSEARCH_PASSWORD"
    }  # fmt: skip
    used = re.findall(r"\$\$(\w+)", (DEPLOY / "compose.yaml").read_text())
    assert set(used) == set(services()["kibana-password"]["environment"])


def test_no_file_holds_a_secret() -> None:
    for given in (environment_file(), of_kind("ConfigMap")["data"]):
        secrets = [name for name in given if re.search("KEY|PASSWORD|USERNAME", name)]
        assert secrets == ["ES_API_KEY_FILE"]
    assert "env" not in container()
    pairs = [pair for service in services().values() for pair in service["environment"].items()]
    passwords = [value for name, value in pairs if "PASSWORD" in name]
    assert len(passwords) == 5
    assert all(re.fullmatch(r"\$\{(ELASTIC|KIBANA)_PASSWORD:\?[^}]*\}", value) for value in passwords)
    for file in (*DEPLOY.iterdir(), ROOT / "docs" / "deploy.md"):
        assert not re.search(r"://[^/\s]*@", file.read_text()), file


def test_the_api_key_lies_where_the_settings_look_for_it() -> None:
    assert f"sudo install -m 640 -g ingest /dev/null {environment_file()['ES_API_KEY_FILE']}\n" in DOCUMENT
    (mount,) = (each for each in container()["volumeMounts"] if each["name"] == "secret")
    (volume,) = (each for each in pod()["volumes"] if each["name"] == "secret")
    assert of_kind("ConfigMap")["data"]["ES_API_KEY_FILE"] == f"{mount['mountPath']}/api-key"
    assert mount["readOnly"] is True
    assert volume["secret"] == {"secretName": "ingest", "defaultMode": 0o440}
    assert f"kubectl create secret generic {volume['secret']['secretName']} --from-file=api-key=FILE\n" in DOCUMENT


def test_git_and_docker_leave_the_passwords_of_compose_alone() -> None:
    assert "/deploy/.env" in (ROOT / ".gitignore").read_text().splitlines()
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_state_lies_in_one_place() -> None:
    assert environment_file()["INGEST_HOME"] == STATE
    assert unit("ingest.service")["StateDirectory"] == [Path(STATE).name]
    assert [f"INGEST_HOME={STATE}" in line for line in instructions() if line[0] == "ENV"] == [False, True]
    assert {"name": "home", "mountPath": STATE} in container()["volumeMounts"]
    assert services()["ingest"]["volumes"] == [f"home:{STATE}"]


def test_the_images_are_those_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container()["image"] == services()["ingest"]["image"] == f"ingest:{version}"
    minor = DEFAULT_VERSION.rpartition(".")[0]
    others = {name: each["image"] for name, each in services().items() if name != "ingest"}
    assert all(re.fullmatch(rf"(elasticsearch|kibana):{re.escape(minor)}\.\d+", each) for each in others.values())
    assert len({each.partition(":")[2] for each in others.values()}) == 1


def test_what_the_dockerfile_copies_is_let_through_and_makes_the_whole_package(tmp_path: Path) -> None:
    copied = [word for line in instructions() if line[0] == "COPY" and "--from" not in line[1] for word in line[1:-1]]
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert sorted(copied) == sorted(let_through)
    context = tmp_path / "context"
    context.mkdir()
    for name in copied:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, context / name)
    build = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir")
    done = ran(sys.executable, "-m", "pip", *build, tmp_path, context)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "ingest").rglob("*.py")}
    assert modules <= set(zipfile.ZipFile(wheel).namelist())


def test_the_image_installs_only_what_is_pinned_and_runs_as_an_ordinary_user() -> None:
    lines = [" ".join(line) for line in instructions()]
    installs = [line for line in lines if "pip install" in line]
    assert ["--require-hashes -r requirements.txt" in line or "--no-deps" in line for line in installs] == [True, True]
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert 'ENTRYPOINT ["ingest"]' in lines
    assert all(re.search(r":\d+\.\d+\.\d+-", line) for line in lines if line.startswith("FROM"))


def test_the_service_is_closed_in() -> None:
    keys = unit("ingest.service")
    for key in (
        "NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "ProtectClock", "ProtectControlGroups",
        "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "LockPersonality",
        "MemoryDenyWriteExecute", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID",
    ):  # fmt: skip
        assert keys[key] == ["yes"], key
    assert (keys["User"], keys["ProtectSystem"], keys["CapabilityBoundingSet"]) == (["ingest"], ["strict"], [""])
    assert keys["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]


def test_the_pod_is_closed_in() -> None:
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container()["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
    user = next(line[1] for line in instructions() if line[0] == "USER")
    assert user == f"{pod()['securityContext']['runAsUser']}:{pod()['securityContext']['runAsGroup']}"


def test_the_services_of_compose_are_closed_in() -> None:
    for name, each in services().items():
        assert (each["cap_drop"], each["security_opt"]) == (["ALL"], ["no-new-privileges:true"]), name
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", [])), name
    assert services()["ingest"]["read_only"] is True
    assert services()["elasticsearch"]["environment"]["xpack.security.enabled"] == "true"
    assert {name for name, each in services().items() if "healthcheck" in each} == {"elasticsearch", "kibana"}


def test_a_run_is_tried_again_only_where_that_may_help() -> None:
    keys = unit("ingest.service")
    assert (keys["Restart"], keys["RestartPreventExitStatus"]) == (["on-failure"], ["1 2 3 4"])
    assert {0, *map(int, keys["RestartPreventExitStatus"][0].split())} == DONE_OR_HOPELESS
    assert keys["SuccessExitStatus"] == ["143"]
    (rule,) = (each["onExitCodes"] for each in job()["podFailurePolicy"]["rules"] if each["action"] == "FailJob")
    assert (rule["containerName"], {0, *rule["values"]}) == (container()["name"], DONE_OR_HOPELESS)
    assert (job()["backoffLimit"], pod()["restartPolicy"]) == (3, "Never")
    assert of_kind("CronJob")["spec"]["concurrencyPolicy"] == "Forbid"


def test_every_file_is_in_the_document_and_the_document_in_the_readme() -> None:
    for file in DEPLOY.iterdir():
        assert file.name == ".env" or f"`{file.name}`" in DOCUMENT, file.name
    assert "(docs/deploy.md)" in README
