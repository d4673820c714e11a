"""Playlists and media torn apart at random: the check reports, it never stumbles."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from client.verdicts import Outcome
from tests.check.origin import Fault, Origin, Reply, Request
from tests.check.recording import findings
from tests.check.stream import Stream

STREAMS = (Stream(), Stream(break_at=17), Stream(parts=False), Stream(ends_with=17))
RUBBISH = (
    "#EXT-X-MEDIA-SEQUENCE:99999999999999999999",
    "#EXT-X-SKIP:SKIPPED-SEGMENTS=99999999999",
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-ENDLIST",
    "#EXTINF:99999999999999999999.9,",
    '#EXT-X-PART:DURATION=0,URI="../..//%00"',
    '#EXT-X-MAP:URI="http://[",BYTERANGE="1@"',
    "#EXT-X-BYTERANGE:" + "9" * 5000 + "@0",
    "#EXT-X-PROGRAM-DATE-TIME:0001-01-01T00:00:00.000+23:59",
    '#EXT-X-RENDITION-REPORT:URI="http://[/",LAST-MSN=1',
    '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="\\"',
    "#EXT-X-TARGETDURATION:0",
    "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES",
)


def tearing(seed: int) -> Fault:
    chance = random.Random(seed)

    def fault(request: Request, reply: Reply) -> Reply:
        if reply.status != 200 or not reply.body or chance.random() < 0.5:
            return reply
        if request.is_media:
            body = bytearray(reply.body)
            for _ in range(3):
                body[chance.randrange(len(body))] = chance.randrange(256)
            return replace(reply, body=bytes(body))
        lines = reply.body.decode().splitlines()
        for _ in range(3):
            at = chance.randrange(len(lines))
            change = chance.randrange(4)
            if change == 0 and len(lines) > 1:
                del lines[at]
            elif change == 1:
                lines.insert(at, chance.choice(RUBBISH))
            elif change == 2:
                lines.insert(at, chance.choice(lines))
            else:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
        return replace(reply, body=("\n".join(lines) + "\n").encode())

    return fault


@pytest.mark.parametrize("seed", range(12))
def test_a_torn_stream_is_reported(seed: int) -> None:
    found = findings(Origin(STREAMS[seed % len(STREAMS)], tearing(seed)))
    assert any(finding.outcome is Outcome.FAILED for finding in found)
