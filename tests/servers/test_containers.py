"""Containerfile and compose.yaml: what they say, and the commands that they run, run here without a container."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from django.conf import settings

from tests.broker import mock_broker
from tests.processes import PATIENCE, Place
from tests.services import PostgreSQL, Redis, running

ROOT = Path(settings.BASE_DIR)
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("migrate", "web", "consumer")
SECRETS = {"SECRET_KEY": "s" * 50, "POSTGRES_PASSWORD": "secret", "BROKERS": "kafka:9092"}
CALL = "46700000001,46700000002,Los Angeles,Jul 18 2021 00:00:00,Jul 18 2021 00:01:00,CALL,Vodafone"


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's instructions, each with its text in one line."""
    lines = [line for line in (ROOT / "Containerfile").read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]


def expanded(text: str, variables: dict[str, str]) -> str:
    """A text of compose.yaml with its variables, as compose replaces them; raises KeyError for a missing one."""

    def value(found: re.Match) -> str:
        name, operator, rest = found.groups()
        return variables.get(name) or (rest if operator == ":-" else variables[name])

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


def test_the_containerfile_is_sound():
    found = instructions()
    assert {name for name, _ in found} <= {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "VOLUME", "EXPOSE", "CMD"}
    bases = [text.split()[0] for name, text in found if name == "FROM"]
    assert all(re.fullmatch(r"[a-z]+:[\w.-]*\d[\w.-]*", base) for base in bases), "each image has its version"
    assert len(set(bases)) == 1, "the virtual environment needs the Python that made it"
    installed = [text for name, text in found if name == "RUN" and "apt-get install" in text]
    assert all("--no-install-recommends" in text and "rm -rf /var/lib/apt/lists/*" in text for text in installed)
    last = found[max(number for number, (name, _) in enumerate(found) if name == "FROM") :]
    assert [text for name, text in last if name == "USER"] == ["network-analysis"]
    assert [text for name, text in last if name == "CMD" and not json.loads(text)] == []
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".env", ".git", ".venv", "var"} <= set(ignored)


def test_what_the_image_is_built_by_is_there(tmp_path):
    built = [text for name, text in instructions() if name == "RUN"]
    setup = next(text for text in built if text.startswith("make "))
    planned = subprocess.run(
        [*shlex.split(setup), "-n", "VENV=venv"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert planned.returncode == 0, planned.stderr
    installed = re.findall(r"scripts/install\.sh venv (\w+)", planned.stdout)
    assert sorted(installed) == ["avro", "aws", "base", "kafka", "postgres", "redis"]
    compiled = next(text for text in built if "compileall" in text)
    for package in ("kpis", "network_analysis", "plugins"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    subprocess.run(shlex.split(compiled), cwd=tmp_path, check=True)
    assert list((tmp_path / "network_analysis" / "__pycache__").glob("settings.*.pyc"))
    assert list((tmp_path / "plugins" / "network_analysis_spark" / "__pycache__").glob("plugin.*.pyc"))


def test_the_compose_file_is_sound():
    assert COMPOSE.keys() == {"name", "x-product", "services", "volumes"}
    known = {
        "build",
        "image",
        "restart",
        "environment",
        "volumes",
        "command",
        "depends_on",
        "ports",
        "healthcheck",
        "stop_grace_period",
    }
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    for name, service in SERVICES.items():
        assert service.keys() <= known, name
        assert all(volume.split(":")[0] in COMPOSE["volumes"] for volume in service.get("volumes", ())), name
        for other, wanted in service.get("depends_on", {}).items():
            condition = wanted["condition"]
            assert condition in ("service_started", "service_healthy", "service_completed_successfully")
            assert condition != "service_healthy" or "healthcheck" in SERVICES[other], other
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), "a proxy with HTTPS stands before it"
        assert (
            service["image"] == f"network-analysis:{version}" if name in OURS else re.search(r":\d", service["image"])
        )
        for value in service.get("environment", {}).values():
            expanded(value, SECRETS)
    for missing in SECRETS:
        with pytest.raises(KeyError, match=missing):
            expanded((ROOT / "compose.yaml").read_text(), {name: "x" for name in SECRETS if name != missing})


def test_the_image_serves_as_the_compose_file_does():
    (command,) = [json.loads(text) for name, text in instructions() if name == "CMD"]
    assert command == [expanded(word, {}) for word in SERVICES["web"]["command"]]


def test_the_commands_of_the_services_work_together(tmp_path):
    def environment(name: str) -> dict[str, str]:
        """A service's environment here: the servers and folders are others than in the containers."""
        given = {key: expanded(value, variables) for key, value in SERVICES[name]["environment"].items()}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**place.environment(), **given, "DATABASE_URL": postgres.url, "REDIS_URL": redis.url, "PATH": path}

    def start(name: str, words: list[str], said: str = "") -> subprocess.Popen[bytes]:
        command = [expanded(word, variables) for word in words]
        with (tmp_path / f"{said or name}.log").open("w") as log:
            return subprocess.Popen(command, cwd=ROOT, env=environment(name), stdout=log, stderr=subprocess.STDOUT)

    def wait_for(condition) -> None:
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < PATIENCE, [path.read_text() for path in tmp_path.glob("*.log")]
            time.sleep(0.1)

    with running(PostgreSQL) as postgres, running(ComposeRedis) as redis, mock_broker() as broker:
        place = Place(tmp_path / "place", postgres.url)
        variables = {**SECRETS, "BROKERS": broker.servers, "HOST": "127.0.0.1", "PORT": str(free_port())}
        broker.put("cdr", [CALL] * 7)
        migrate = start("migrate", SERVICES["migrate"]["command"])
        assert migrate.wait(timeout=PATIENCE) == 0
        web, consumer = start("web", SERVICES["web"]["command"]), start("consumer", SERVICES["consumer"]["command"])
        try:
            probe = SERVICES["web"]["healthcheck"]["test"]
            assert probe[0] == "CMD"
            wait_for(lambda: start("web", probe[1:], "probe").wait(timeout=PATIENCE) == 0)
            address = f"http://127.0.0.1:{variables['PORT']}/api/KPIs/10/?interval=3"
            wait_for(lambda: sum(row["number_of_calls"] for row in fetched(address)) == 7)
        finally:
            web.terminate()
            consumer.terminate()
            codes = [process.wait(timeout=PATIENCE) for process in (web, consumer)]
        # uvicorn ends by the signal that ended its work.
        assert codes == [-signal.SIGTERM, 0], [path.read_text() for path in tmp_path.glob("*.log")]


class ComposeRedis(Redis):
    """Redis by the compose file's command, on a port of its own."""

    def command(self) -> list[str]:
        return [*SERVICES["redis"]["command"], "--bind", "127.0.0.1", "--port", str(self.port)]


def fetched(address: str) -> list[dict]:
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:  # noqa: S310  http
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_pre_commit_runs_the_linters_of_make_lint():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"], "nothing is downloaded"
    hooks = [hook["entry"] for hook in config["repos"][0]["hooks"]]
    variables = r"^env (\w+=\S+ )+"
    entries = [re.sub(variables, "", hook) for hook in hooks]
    lint = re.search(r"^lint: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    commands = [
        re.sub(rf"^\$\(ON_SQLITE\) |{variables}", "", line.strip()).replace("$(VENV)", ".venv")
        for line in lint.splitlines()
    ]
    assert entries == [line for line in commands if line.startswith(".venv/bin/")]
    assert all(Path(ROOT, entry.split()[0]).exists() for entry in entries)
    # What imports the settings sees no .env, in both places.
    linters = [line.strip() for line in lint.splitlines() if "$(VENV)/bin/" in line]
    assert [hook.startswith("env PYTHON_DOTENV_DISABLED=1 ") for hook in hooks] == [
        line.startswith("$(ON_SQLITE) ") for line in linters
    ]
