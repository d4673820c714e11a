"""``lipstream check``: watch, judge, ask, report."""

from __future__ import annotations

import json
import sys
from functools import partial

from client import http2, probes, rules
from client.fetch import HttpFetch, split
from client.observation import Observation
from client.observe import observe
from client.probes.site import Site
from client.report import as_json, gather, table
from client.verdicts import Finding, run_all

_BROKEN = 1


def judge_stream(observation: Observation, site: Site | None) -> list[Finding]:
    """All findings: the rules over what was seen, and the probes where there is a site to ask."""
    findings = run_all(rules.CHECKS, observation)
    if site is not None:
        findings += run_all(probes.CHECKS, site)
    return gather(findings)


def check(url: str, seconds: float, *, verify_tls: bool) -> tuple[Observation, list[Finding]]:
    """Check a live stream.

    Args:
        url: of its multivariant playlist.
        seconds: how long to watch it.
        verify_tls: refuse certificates that are not trusted.

    Raises:
        CannotCheck: there is nothing to check.
    """
    split(url)
    fetch = HttpFetch(verify_tls=verify_tls)
    _progress(f"watching {url} for {seconds:g} s")
    observation = observe(url, seconds, fetch)
    over_http2 = partial(http2.get, verify_tls=verify_tls)
    _progress(f"{len(observation.media)} media files seen; trying requests one by one")
    findings = judge_stream(observation, Site(fetch, observation, over_http2))
    return observation, findings


def run(url: str, seconds: float, *, as_json_text: bool, verify_tls: bool) -> int:
    """The command: prints the report; 0 if every MUST that was seen is kept, 1 if not."""
    observation, findings = check(url, seconds, verify_tls=verify_tls)
    if as_json_text:
        text = json.dumps(as_json(observation, findings), indent=2) + "\n"
    else:
        text = table(observation, findings)
    sys.stdout.write(text)
    return _BROKEN if any(finding.breaks_a_must for finding in findings) else 0


def _progress(text: str) -> None:
    sys.stderr.write(f"lipstream check: {text}\n")
