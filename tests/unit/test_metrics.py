"""The page that Prometheus reads: parsed by its own parser, checked by its own tool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from config import Settings
from server.app import create_app
from server.counts import KINDS, Table
from server.metrics import COUNTERS, GAUGES, PREFIX

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
FIGURES = {
    "id": "demo",
    "state": "live",
    "encoder": "libx264",
    "part_target_seconds": 0.2,
    "parts": {"v0": 30, "a0": 31},
    "media_bytes": {"v0": 5000, "a0": 600},
    "units_fed": 150,
    "units_repeated": 7,
    "units_dropped": 2,
    "units_skipped": 1,
    "overloads": 0,
    "encoder_restarts_by_reason": {"ended": 1, "stuck": 0},
    "encoder_changes": {"ended": 4},
    "blocked": {"StoreFull": 2},
    "refused_by_rule": {"22": 0, "55": 3},
    "encode_lag_seconds": {"median": 0.12, "max": None},
    "av_skew_seconds": None,
    "av_offset_seconds": None,
    "media_seconds": 6.0,
    "disk_bytes": 5600,
    "disk_bound_bytes": 99999,
    "at": 1700000000.5,
}
ROSTER = {
    "streams": {
        "demo": {
            "state": "running",
            "processes": [
                {"name": "encoder", "pid": 7, "restarts": {"SIGKILL": 2, "exit 1": 1}},
                {"name": "inference", "pid": None, "restarts": {}},
            ],
        },
        "broken": {"state": "failed", "processes": []},
    },
    "web": [{"name": "web", "pid": 9, "restarts": {}}],
    "shared": [{"name": "inference", "pid": None, "restarts": {"exit 1": 5}}],
}


def client(root: Path, table: Table | None = None, token: str = "") -> FlaskClient:
    for name in ("live/demo/v0", "run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "run/demo.json").write_text(json.dumps(FIGURES))
    (root / "run/_roster.json").write_text(json.dumps(ROSTER))
    face = {"sampling_timesteps": 7, "busy_share": 0.5}
    devices = {"device_up": {"camera": 0}, "device_losses": {"camera": 2}}
    (root / "run/demo.face").write_text(json.dumps({"face": face} | devices))
    (root / "live/demo/v0/media.m3u8").write_text("#EXTM3U\n")
    return create_app(Settings(api_token=token), root, table).test_client()


def scrape(asking: FlaskClient) -> dict[str, float]:
    """Value by name and labels, such as ``parts_total demo v0``, the labels in their order."""
    text = asking.get("/metrics").get_data(as_text=True)
    return {
        " ".join((s.name.removeprefix(PREFIX), *s.labels.values())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def test_figures_of_a_stream_are_told(tmp_path: Path) -> None:
    told = scrape(client(tmp_path))
    for name, value in {
        "parts_total v0 demo": 30,
        "media_bytes_total a0 demo": 600,
        "frames_repeated_total demo": 7,
        "frames_dropped_total demo": 2,
        "encoder_restarts_total ended demo": 1,
        "encoder_restarts_total stuck demo": 0,
        "encoder_changes_total ended demo": 4,
        "refused_total 55 demo": 3,
        "encode_lag_seconds median demo": 0.12,
        "tmpfs_bytes demo": 5600,
        "stream libx264 live demo": 1,
        "face sampling_timesteps demo": 7,
        "face busy_share demo": 0.5,
        "device_up camera demo": 0,
        "device_losses_total camera demo": 2,
    }.items():
        assert told[name] == value, name


def test_what_is_not_known_yet_is_not_told_as_zero(tmp_path: Path) -> None:
    told = scrape(client(tmp_path))
    assert not any(key.startswith("av_skew_seconds") for key in told)
    assert not any("max" in key.split() for key in told)


def test_every_figure_that_is_shown_is_one_that_encoders_write() -> None:
    """The other way round the metric would silently be missing for ever."""
    assert {shown.figure for shown in (*COUNTERS, *GAUGES)} <= FIGURES.keys()
    text = "".join(path.read_text("utf-8") for path in (DEPLOY.parents[1] / "encoder").glob("*.py"))
    for figure in FIGURES:
        assert f'"{figure}"' in text, figure


def test_processes_and_why_they_ended(tmp_path: Path) -> None:
    text = client(tmp_path).get("/metrics").get_data(as_text=True)
    ended = 'process_restarts_total{process="encoder",reason="SIGKILL",stream="demo"} 2.0'
    assert ended in text
    assert 'process_running{process="inference",stream="demo"} 0.0' in text
    assert 'process_running{process="web",stream=""} 1.0' in text
    assert 'process_running{process="inference",stream=""} 0.0' in text
    shared = 'process_restarts_total{process="inference",reason="exit 1",stream=""} 5.0'
    assert shared in text
    assert 'stream{encoder="",state="failed",stream="broken"} 1.0' in text


def test_a_roster_of_an_older_supervisor_is_read_all_the_same(tmp_path: Path) -> None:
    """Web processes are restarted without it."""
    asking = client(tmp_path)
    older = {key: told for key, told in ROSTER.items() if key != "shared"}
    (tmp_path / "run/_roster.json").write_text(json.dumps(older))
    text = asking.get("/metrics").get_data(as_text=True)
    assert 'process_running{process="web",stream=""} 1.0' in text


def test_the_edge_of_a_live_stream_and_its_limit(tmp_path: Path) -> None:
    told = scrape(client(tmp_path))
    assert told["live_edge_age_seconds demo"] < 5
    assert told["live_edge_limit_seconds demo"] == pytest.approx(0.6)
    (tmp_path / "run/demo.json").write_text(json.dumps(FIGURES | {"state": "ended"}))
    told = scrape(create_app(Settings(), tmp_path).test_client())
    assert "live_edge_age_seconds demo" not in told


def test_requests_of_all_web_processes(tmp_path: Path) -> None:
    table = Table()
    for worker in (1, 2):
        table.lease(worker)
        table.row().answered(KINDS.index("reload"), 200, 0.2, 1000)
        table.row().held(2)
    text = client(tmp_path, table).get("/metrics").get_data(as_text=True)
    assert 'requests_total{kind="reload",status="2xx"} 2.0' in text
    assert 'request_seconds_bucket{kind="reload",le="0.1"} 0.0' in text
    assert 'request_seconds_bucket{kind="reload",le="0.25"} 2.0' in text
    assert 'request_seconds_count{kind="reload"} 2.0' in text
    assert "held_requests 4.0" in text


def test_the_token_of_the_api_is_asked_for(tmp_path: Path) -> None:
    asking = client(tmp_path, token="secret")
    refused = asking.get("/metrics")
    assert refused.status_code == 401
    assert b"lipstream_" not in refused.data
    assert asking.get("/metrics", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_it_is_never_kept(tmp_path: Path) -> None:
    assert client(tmp_path).get("/metrics").headers["Cache-Control"] == "no-store"


def test_both_formats_are_well_formed(tmp_path: Path) -> None:
    asking = client(tmp_path)
    plain = asking.get("/metrics")
    assert plain.mimetype == "text/plain"
    names = [f.name for f in text_string_to_metric_families(plain.get_data(as_text=True))]
    assert len(names) == len(set(names))
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    page = asking.get("/metrics", headers=accept)
    assert page.mimetype == "application/openmetrics-text"
    families = open_families(page.get_data(as_text=True))  # type: ignore[no-untyped-call]
    assert len(list(families)) == len(names)


def test_without_a_media_root_the_web_processes_are_still_told(tmp_path: Path) -> None:
    text = create_app(Settings(), tmp_path / "none").test_client().get("/metrics")
    assert b"lipstream_held_requests 0.0" in text.data
    assert b"lipstream_media_root_free_bytes" not in text.data


# --- Prometheus' own judgement -------------------------------------------------------------------


def promtool(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool", path=None) or shutil.which(
        "promtool", path=str(Path(sys.executable).parent)
    )
    if program is None:
        pytest.skip("there is no promtool; tools/promtool.sh fetches it")
    return subprocess.run(
        [program, *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )


def test_promtool_finds_nothing_to_say_about_the_page(tmp_path: Path) -> None:
    told = promtool("check", "metrics", text=client(tmp_path).get("/metrics").get_data(True))
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


def test_the_alerts_are_rules_and_do_what_they_say() -> None:
    for arguments in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        told = promtool(*arguments[:2], str(DEPLOY / arguments[2]))
        assert told.returncode == 0, told.stdout + told.stderr


def test_the_alerts_ask_for_metrics_that_exist(tmp_path: Path) -> None:
    page = client(tmp_path).get("/metrics").get_data(as_text=True)
    known = set(re.findall(r"^# TYPE (\w+) counter$", page, re.MULTILINE))
    known |= set(re.findall(r"^# TYPE (\w+) gauge$", page, re.MULTILINE))
    asked = set(re.findall(r"\blipstream_\w+", (DEPLOY / "alerts.yml").read_text()))
    assert asked
    assert asked <= known
