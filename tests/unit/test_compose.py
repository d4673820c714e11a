"""deploy/compose.yaml hangs together. No engine: that it starts is not seen here."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from config import ENVIRONMENT_PREFIX, Settings
from tests.fronts import VARNISH_PARAMETERS

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# Of compose, not of lipstream.
ITS_OWN = {"LIPSTREAM_HTTPS_PORT", "LIPSTREAM_TLS_CERT", "LIPSTREAM_TLS_KEY"}


def test_every_file_that_is_mounted_or_built_is_there() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            assert (DEPLOY / volume.partition(":")[0]).is_file(), (name, volume)
        build = service["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).is_file(), name


def test_what_the_origin_is_told_are_settings() -> None:
    fields = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.__dataclass_fields__}
    assert set(SERVICES["origin"]["environment"]) <= fields


def test_the_example_says_every_variable_and_no_other() -> None:
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    example = (DEPLOY / "example.env").read_text("utf-8")
    said = set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    assert said - {"COMPOSE_PROFILES"} == used - {"LIPSTREAM_WEB_PROCESSES"}
    assert said >= ITS_OWN


def test_no_secret_has_a_default() -> None:
    for name in ("LIPSTREAM_API_TOKEN", "LIPSTREAM_VIEWER_KEY"):
        assert re.search(rf"\$\{{{name}(:\?[^}}]+|:-)\}}", TEXT), name
    git_ignores = (DEPLOY.parent / ".gitignore").read_text("utf-8").splitlines()
    assert {"/deploy/.env", "/deploy/tls/"} <= set(git_ignores)


def test_secrets_stand_where_the_files_look_for_them() -> None:
    for name, file in (("haproxy", "haproxy.cfg"), ("caddy", "Caddyfile"), ("nginx", "nginx.conf")):
        text = (DEPLOY / name / file).read_text("utf-8")
        for secret in SERVICES[name]["secrets"]:
            assert secret["source"] in COMPOSE["secrets"]
            looked_for = secret["target"].removesuffix(".key")  # HAProxy adds that itself
            assert looked_for in text, (name, secret)


def test_varnish_is_started_as_its_file_says_and_as_the_tests_do() -> None:
    command = SERVICES["varnish"]["command"]
    given = [word for flag, word in pairwise(command) if flag == "-p"]
    assert tuple(given) == VARNISH_PARAMETERS
    head = (DEPLOY / "varnish/default.vcl").read_text("utf-8").partition("vcl 4.1")[0]
    assert tuple(re.findall(r"-p (\S+)", head)) == VARNISH_PARAMETERS


def test_each_profile_has_one_front_on_the_port_that_is_open() -> None:
    tls = {name for name, service in SERVICES.items() if "secrets" in service}
    for profile in ("haproxy", "caddy", "nginx"):
        assert {name for name in tls if profile in SERVICES[name]["profiles"]} == {profile}
        assert SERVICES[profile]["network_mode"] == "service:network"
    assert [port.rpartition(":")[2] for port in SERVICES["network"]["ports"]] == [
        "443/tcp",
        "443/udp",
    ]
