"""Hundreds of requests made from the published description: nothing fails inside, and no answer
is one that it does not describe.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import CheckContext, Response
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi import checks

from config import Settings
from server.openapi import PATH, describe
from tests.security import files
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

# SCHEMATHESIS_SEED tries other requests; a failure prints the one that failed, as curl.
SEED = int(os.environ.get("SCHEMATHESIS_SEED", "4"))
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "8"))
# One stream runs, and no more may: what is wished is checked in full, and then refused.
CHANGES: dict[str, Any] = {
    "width": 320,
    "height": 180,
    "max_streams": 1,
    "api_requests_per_minute": 1_000_000,
    "uploads_per_minute": 10_000,
}
FLAGS = tuple(f"--{name.replace('_', '-')}={value}" for name, value in CHANGES.items())


def nothing_failed_inside(_context: CheckContext, response: Response, _case: Any) -> None:
    """503 and 507 are answers; these are not."""
    assert response.status_code not in (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.NOT_IMPLEMENTED,
        HTTPStatus.BAD_GATEWAY,
    )


CHECKS: list[CheckFunction] = [
    nothing_failed_inside,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with (
        temporary_media_root() as folder,
        Service(Path(folder) / "media", FLAGS) as running,
    ):
        yield running.url
        assert not [line for line in running.log if "Traceback" in line]


# Known before the service runs, so that each operation is a test; the first one compares.
schema = schemathesis.openapi.from_dict(
    describe(Settings(**CHANGES)),
    config=schemathesis.Config.from_dict(
        {"seed": SEED, "generation": {"mode": "all", "database": "none"}}
    ),
)


def test_the_service_publishes_what_is_tried_here(api: str) -> None:
    published = requests.get(api + PATH, timeout=10).json()
    assert published == json.loads(json.dumps(schema.raw_schema))


# Answers of the one have no end, and those of the other are none of HTTP.
@schema.exclude(path_regex="/(events|pcm)$").parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=False,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_any_request_gets_an_answer_that_is_described(api: str, case: Any) -> None:
    case.call_and_validate(base_url=api, checks=CHECKS, timeout=60)


def test_good_requests_get_what_is_described(api: str) -> None:
    def ask(method: str, path: str, status: int, **more: Any) -> Any:
        case = schema[path][method].Case(**more)
        answer = case.call_and_validate(base_url=api, checks=CHECKS, timeout=60)
        assert answer.status_code == status, answer.text
        return answer

    stream = {"path_parameters": {"stream": "demo"}}
    ask("GET", "/api/streams", 200)
    ask("GET", "/api/streams/{stream}", 200, **stream)
    ask("GET", "/api/encoders", 200)
    ask("GET", "/healthz", 200)
    ask("GET", "/readyz", 200)
    ask("GET", PATH, 200)
    raw = {"body": files.picture(), "media_type": "application/octet-stream"}
    upload = ask("POST", "/upload", 201, **raw).json()
    one = {"path_parameters": {"upload": upload["id"]}}
    ask("GET", "/api/uploads/{upload}", 200, **one)
    source = {"type": "avatar", "image": upload["path"]}
    wish = {"body": {"id": "second", "source": source}, "media_type": "application/json"}
    ask("POST", "/api/streams", 429, **wish)  # all but the last check is passed
    ask("DELETE", "/api/uploads/{upload}", 204, **one)
    ask("POST", "/api/streams", 400, **wish)
    ask("DELETE", "/api/streams/{stream}", 202, **stream)
