"""One broken stream for each way of breaking a rule."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

from client.fetch import Answer
from client.verdicts import Level
from tests.check.faults import (
    INIT,
    LIVE,
    PART,
    TEXT,
    UNKNOWN,
    VIDEO_FILE,
    VIDEO_SEGMENT,
    aac_ticks,
    again,
    anything,
    begins_anew,
    blocking_head,
    data,
    drifting,
    frozen,
    gone_after,
    greedy_delta,
    half_of_the_hint,
    has_query,
    head,
    header,
    held,
    iframes,
    impatient,
    index,
    lagging,
    last_byte,
    late,
    later,
    lost_in_delta,
    media,
    mvhd_duration,
    never_packed,
    no_ranges,
    no_roll_over,
    of,
    options,
    packed_media,
    patched,
    plain,
    playlists,
    redirect,
    refuses_passed,
    second_track,
    slow,
    status,
    stray,
    sub,
    text,
    tfdt,
    torn,
    with_edit,
    without_part,
    wrong_range,
)
from tests.check.http2 import answers, cuts_short, goes_away, hangs_up, over, speaks, speaks_http1
from tests.check.origin import Fault, sound
from tests.check.stream import Stream

BROKEN_OFF = Stream(break_at=17)
SHOULD = Level.SHOULD


@dataclass(frozen=True)
class Mutation:
    """A stream that breaks ``rule``, and must be caught by its number."""

    rule: int
    name: str
    fault: Fault = sound
    stream: Stream = LIVE
    level: Level = Level.MUST
    packing: Fault = sound
    http2: Callable[[Answer], Answer] = lambda answer: answer

    def __str__(self) -> str:
        return f"{self.rule}-{self.name}"


# --- the table ----------------------------------------------------------------------------------

_SYNTAX = (
    Mutation(1, "bom", text(lambda old: "\ufeff" + old)),
    Mutation(1, "blank-in-attributes", sub("CAN-BLOCK-RELOAD=YES,", "CAN-BLOCK-RELOAD=YES, ")),
    Mutation(1, "attribute-twice", sub("HOLD-BACK=3.0", "HOLD-BACK=3.0,HOLD-BACK=3.0")),
    Mutation(1, "not-extm3u", sub("#EXTM3U\n", "#M3U\n")),
    Mutation(1, "latin-1", lambda q, r: replace(r, body=r.body + b"#\xe9\n") if later(q) else r),
    Mutation(2, "tag-twice", sub("(#EXT-X-TARGETDURATION:1)", r"\1\n\1")),
    Mutation(
        2, "multivariant-tag", sub("#EXT-X-VERSION", "#EXT-X-MEDIA:TYPE=AUDIO\n#EXT-X-VERSION")
    ),
    Mutation(2, "media-tag-in-multivariant", sub("(#EXT-X-VER)", r"#EXT-X-ENDLIST\n\1", index)),
    Mutation(3, "version-5", sub("VERSION:9", "VERSION:5")),
    Mutation(3, "skip-in-version-8", sub("VERSION:9", "VERSION:8", has_query("_HLS_skip"))),
    Mutation(3, "version-12", sub("VERSION:9", "VERSION:12"), level=SHOULD),
    Mutation(4, "none", sub("#EXT-X-TARGETDURATION.*\n", "")),
    Mutation(4, "changes", sub("TARGETDURATION:1", "TARGETDURATION:2", later)),
    Mutation(4, "too-small", sub("EXTINF:1.00000", "EXTINF:1.60000")),
    Mutation(5, "extinf-not-media", sub("EXTINF:1.00000", "EXTINF:0.97000")),
    Mutation(6, "jumps", text(lambda t: re.sub(r"(SEQUENCE:\d+)", r"\g<1>0", t, count=1), later)),
    Mutation(6, "falls", sub(r"MEDIA-SEQUENCE:\d+", "MEDIA-SEQUENCE:2", later)),
    Mutation(6, "begins-anew", begins_anew),
    Mutation(7, "five-segments", stream=Stream(window=5)),
    Mutation(7, "two-seconds", stream=Stream(window=2)),
    Mutation(7, "parts-out-of-order", sub(r"^#EXT-X-PART:.*URI=\"r-15\..*\n", "")),
    Mutation(8, "extinf-changes", sub(r"EXTINF:1.00000,\nr-15", "EXTINF:1.01000,\nr-15", later)),
    Mutation(8, "uri-changes", sub(r"^r-15\.m4s", "r-15.m4s?new", later)),
    Mutation(8, "date-changes", sub(r"(:\d\d):(\d\d)\.123Z", r"\1:\2.193Z", later)),
    Mutation(8, "map-changes", sub("r-init.mp4", "s-init.mp4", later)),
    Mutation(8, "bytes-change", data(last_byte, again(VIDEO_SEGMENT))),
    Mutation(8, "part-changes", sub("r-17.0.m4s", "r-17.00.m4s", late)),
    Mutation(9, "playlist-type", sub("(#EXT-X-TARGET)", r"#EXT-X-PLAYLIST-TYPE:EVENT\n\1")),
    Mutation(
        9,
        "hint-behind-the-end",
        sub("#EXT-X-ENDLIST", '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="x.m4s"\n#EXT-X-ENDLIST'),
        Stream(ends_with=16),
    ),
    Mutation(10, "no-map", sub("#EXT-X-MAP.*\n", "")),
    Mutation(11, "not-independent", sub("#EXT-X-INDEPENDENT.*\n", "", index), level=SHOULD),
    Mutation(12, "torn", torn),
)

_TIME = (
    Mutation(14, "no-dates", sub("#EXT-X-PROGRAM.*\n", "")),
    Mutation(14, "drifting", text(drifting)),
    Mutation(14, "no-milliseconds", sub(r"\.\d{3}Z", "Z")),
    Mutation(14, "no-time-zone", sub(r"(\.\d{3})Z", r"\1")),
    Mutation(14, "sound-elsewhere", sub(r"T12:", "T13:", of("a0"))),
    Mutation(16, "unannounced", sub("#EXT-X-DISCONTINUITY\n", ""), BROKEN_OFF),
    Mutation(16, "in-one-rendition", sub("#EXT-X-DISCONTINUITY\n", "", of("a0")), BROKEN_OFF),
    Mutation(17, "no-sequence", sub("#EXT-X-DISCONTINUITY-SEQ.*\n", ""), BROKEN_OFF),
    Mutation(17, "does-not-count", sub("CE:1$", "CE:0"), Stream(break_at=7)),
    Mutation(18, "date-behind-parts", sub("^(#EXT-X-PROGRAM.*\n)(#EXT-X-PART:.*\n)", r"\2\1")),
    Mutation(19, "missing", status(404, media(r"v0/r-15\.m4s")), level=SHOULD),
    Mutation(20, "stalls", frozen(16.1, 18.3)),
)

_PARTS = (
    Mutation(21, "no-part-inf", sub("#EXT-X-PART-INF.*\n", "")),
    Mutation(21, "no-part-hold-back", sub(",PART-HOLD-BACK=0.75", "")),
    Mutation(22, "too-long", sub("PART-TARGET=0.25", "PART-TARGET=0.24")),
    Mutation(22, "one-too-long", sub(r"0\.25000(,URI=\"r-16\.2)", r"0.26100\1")),
    Mutation(23, "short-in-the-middle", sub(r"0\.25000(,URI=\"r-16\.2)", r"0.20000\1")),
    Mutation(24, "hold-back-changes", sub("PART-HOLD-BACK=0.75", "PART-HOLD-BACK=0.8", later)),
    Mutation(24, "part-target-changes", sub("PART-TARGET=0.25", "PART-TARGET=0.3", later)),
    Mutation(25, "part-hold-back", sub("PART-HOLD-BACK=0.75", "PART-HOLD-BACK=0.7")),
    Mutation(25, "hold-back", sub(",HOLD-BACK=3.0", ",HOLD-BACK=2.5")),
    Mutation(25, "can-skip-until", sub("UNTIL=6.0", "UNTIL=5.0")),
    Mutation(26, "slow", slow(0.3, lambda request: request.is_media), level=SHOULD),
    Mutation(27, "other-bytes", data(last_byte, media(r"v0/r-16\.1\.m4s"))),
    Mutation(27, "other-times", data(tfdt(lambda t: t + 9), media(r"v0/r-16\.1\.m4s"))),
    Mutation(27, "part-missing", sub(r"^#EXT-X-PART:.*URI=\"r-16\.1\..*\n", "")),
    Mutation(28, "not-said", sub(",INDEPENDENT=YES", "", of("v0"))),
    Mutation(28, "said-of-all", sub(r'(PART:.*\.m4s")$', r"\1,INDEPENDENT=YES", of("v0"))),
    Mutation(29, "listed-for-ever", stream=Stream(segments_with_parts=8), level=SHOULD),
    Mutation(29, "gone-too-early", gone_after(2.0, r"..\/r-\d+\.\d+\.m4s"), level=SHOULD),
    Mutation(30, "gone-too-early", gone_after(6.5, r"..\/r-\d+\.m4s")),
    Mutation(31, "listed-but-missing", status(404, media(r"v0/r-15\.m4s"))),
    Mutation(31, "playlist-is-missing", status(404, later)),
    Mutation(31, "listed-but-slow", slow(1.5, media(r"v0/r-15\.m4s"))),
    Mutation(32, "no-hint", sub("#EXT-X-PRELOAD-HINT.*\n", "")),
    Mutation(32, "never-a-part", sub(r"(HINT:.*)\.m4s", r"\1x.m4s")),
    Mutation(32, "two-hints", sub("(#EXT-X-PRELOAD-HINT.*\n)", r"\1\1")),
    Mutation(33, "refused", lambda q, r: status(404, PART)(q, r) if r.at > q.now else r),
    Mutation(33, "trickles", slow(0.0, PART, spread=0.5)),
    Mutation(33, "half", half_of_the_hint),
    Mutation(34, "no-hint", sub("#EXT-X-PRELOAD-HINT:TYPE=MAP.*\n", ""), BROKEN_OFF, SHOULD),
    Mutation(35, "found", status(200, UNKNOWN), level=SHOULD),
    Mutation(35, "held", slow(2.0, UNKNOWN), level=SHOULD),
)

_DIRECTIVES = (
    Mutation(36, "answers-early", impatient(whole=False)),
    Mutation(36, "msn-alone-answers-with-a-part", impatient(whole=True)),
    Mutation(36, "no-roll-over", no_roll_over),
    Mutation(36, "the-next-is-refused", status(400, held)),
    Mutation(37, "passed-is-400", refuses_passed),
    Mutation(38, "part-without-msn", status(200, without_part)),
    Mutation(38, "not-a-number", status(200, has_query("_HLS_msn"), only=400)),
    Mutation(39, "too-far-is-held", slow(3.0, held), level=SHOULD),
    Mutation(39, "too-far-is-200", status(200, held, only=400), level=SHOULD),
    Mutation(40, "held-for-ever", slow(4.5, held), level=SHOULD),
    Mutation(40, "answers-early", impatient(whole=False), level=SHOULD),
    Mutation(41, "refused-at-the-end", status(400, held), Stream(ends_with=13)),
    Mutation(41, "held-at-the-end", slow(3.0, held), Stream(ends_with=13)),
    Mutation(42, "skips-too-much", greedy_delta),
    Mutation(42, "forgets-a-segment", lost_in_delta),
    Mutation(42, "no-delta", status(400, has_query("_HLS_skip"))),
)

_TOGETHER = (
    Mutation(44, "missing", sub(r"#EXT-X-RENDITION-REPORT:URI=\"../a0.*\n", "")),
    Mutation(44, "no-last-part", sub(r",LAST-PART=\d+", "")),
    Mutation(
        44,
        "stale",
        text(lambda t: re.sub(r"LAST-MSN=(\d+)", lambda m: f"LAST-MSN={int(m[1]) - 1}", t)),
    ),
    Mutation(44, "absolute", sub(r'URI="\.\./', 'URI="http://origin.test/live/made-up/')),
    Mutation(45, "sound-is-late", lagging("a0", 1)),
    Mutation(46, "sound-differs", sub("PART-HOLD-BACK=0.75", "PART-HOLD-BACK=1.0", of("a0"))),
    Mutation(47, "no-audio-codec", sub(",mp4a.40.2", "", index)),
    Mutation(47, "no-frame-rate", sub(",FRAME-RATE=20.000", "", index)),
    Mutation(47, "two-decimals", sub("20.000", "20.00", index)),
    Mutation(47, "wrong-frame-rate", sub("20.000", "25.000", index)),
    Mutation(47, "wrong-resolution", sub("640x360", "640x480", index)),
    Mutation(47, "no-average", sub(r",AVERAGE-BANDWIDTH=\d+", "", index)),
    Mutation(48, "peak", sub(r":BANDWIDTH=\d+", ":BANDWIDTH=50000", index)),
    Mutation(48, "average", sub(r"AVERAGE-BANDWIDTH=\d+", "AVERAGE-BANDWIDTH=50000", index)),
    Mutation(49, "no-such-group", sub('AUDIO="audio"', 'AUDIO="nothing"', index)),
    Mutation(49, "no-language", sub('LANGUAGE="en",', "", index)),
    Mutation(49, "no-channels", sub('CHANNELS="1",', "", index)),
    Mutation(49, "name-twice", sub("(#EXT-X-MEDIA.*\n)", r"\1\1", index)),
    Mutation(49, "no-autoselect", sub("AUTOSELECT=YES,", "", index)),
    Mutation(50, "one-bit-rate", sub("#EXT-X-STREAM-INF.*\nv1.*\n", "", index)),
    Mutation(50, "no-i-frames", sub("#EXT-X-I-FRAME.*\n", "", index), level=SHOULD),
    Mutation(50, "i-frames-404", status(404, iframes), level=SHOULD),
    Mutation(50, "i-frames-unmarked", sub("#EXT-X-I-FRAMES.*\n", "", iframes), level=SHOULD),
    Mutation(50, "i-frames-version", sub("VERSION:6", "VERSION:3", iframes), level=SHOULD),
    Mutation(50, "i-frames-no-range", sub("#EXT-X-BYTERANGE.*\n", "", iframes), level=SHOULD),
    Mutation(50, "i-frames-no-map", sub("#EXT-X-MAP.*\n", "", iframes), level=SHOULD),
    Mutation(50, "i-frame-cut", sub(r"@0$", "@8", iframes), level=SHOULD),
    Mutation(
        50, "i-frame-and-more", sub(r"BYTERANGE:\d+@", "BYTERANGE:900@", iframes), level=SHOULD
    ),
    Mutation(50, "i-frame-less", sub(r"BYTERANGE:\d+@", "BYTERANGE:300@", iframes), level=SHOULD),
    Mutation(50, "i-frame-no-idr", data(patched(b"\x65", b"\x61"), VIDEO_SEGMENT), level=SHOULD),
    Mutation(50, "i-frames-other-date", sub(r"\.(\d)(\d\d)Z", r".9\2Z", iframes), level=SHOULD),
    Mutation(
        50,
        "i-frames-one-missing",
        sub(r"#EXT-X-PROGRAM.*\n#EXTINF.*\n#EXT-X-BYTE.*\n.*\n", "", iframes, count=1),
        level=SHOULD,
    ),
    Mutation(50, "i-frames-heavy", sub("H=40000,", "H=2000,", index), level=SHOULD),
    Mutation(51, "not-aligned", sub(r"\.123Z", ".523Z", of("v1"))),
)

_BOXES = (
    Mutation(52, "duration", data(mvhd_duration, INIT)),
    Mutation(52, "no-mvex", data(patched(b"mvex", b"free"), INIT)),
    Mutation(52, "no-ftyp", data(patched(b"ftyp", b"free"), INIT)),
    Mutation(53, "no-tfdt", data(patched(b"tfdt", b"free"), VIDEO_FILE)),
    Mutation(
        53,
        "other-track",
        data(patched(struct.pack(">2I", 1, 4500), struct.pack(">2I", 7, 4500)), VIDEO_FILE),
    ),
    Mutation(53, "not-moof-relative", data(patched(b"tfhd\0\x02", b"tfhd\0\0"), VIDEO_FILE)),
    Mutation(54, "gap", data(tfdt(lambda t: t + 4500), media(r"v\d/r-1[6-9]\.m4s"))),
    Mutation(54, "wraps", data(tfdt(lambda t: t + 2**63), VIDEO_FILE)),
    Mutation(54, "gap-between-parts", data(tfdt(lambda t: t + 90), media(r"v0/r-16\.2\.m4s"))),
    Mutation(55, "no-idr", data(patched(b"\x65", b"\x61"), VIDEO_SEGMENT)),
    Mutation(55, "no-sync-flag", data(patched(b"\x02\0\0\0", b"\x01\x01\0\0"), VIDEO_SEGMENT)),
    Mutation(56, "wrong-codecs", sub("avc1.64001f,", "avc1.42001f,", index), level=SHOULD),
    Mutation(56, "avc3", data(patched(b"avc1", b"avc3"), INIT), level=SHOULD),
    Mutation(56, "other-sps", data(patched(b"\x67\x55", b"\x67\x56"), VIDEO_SEGMENT), level=SHOULD),
    Mutation(57, "edit-list", data(with_edit, media(r"v\d/r-init\.mp4"))),
    Mutation(57, "two-tracks", data(second_track, INIT)),
    Mutation(57, "not-moof-relative", data(patched(b"tfhd\0\x02", b"tfhd\0\0"), VIDEO_FILE)),
    Mutation(58, "sound-is-off", sub(r"\.(\d)(\d\d)Z", r".9\g<2>Z", of("a0"))),
    Mutation(59, "cut-frames", data(aac_ticks, media(r"a0/.*m4s"))),
    Mutation(59, "stray-bytes", data(stray, media(r"a0/.*m4s"))),
)

_CAPTIONS = (
    Mutation(5, "captions-extinf", sub("EXTINF:1.00000", "EXTINF:0.97000", of("s0"))),
    Mutation(8, "captions-change", data(patched(b"more", b"less"), again(TEXT))),
    Mutation(10, "captions-in-fmp4", sub(r"\.vtt", ".m4s", of("s0"))),
    Mutation(16, "not-in-captions", sub("#EXT-X-DISCONTINUITY\n", "", of("s0")), BROKEN_OFF),
    Mutation(22, "captions-too-long", sub(r"0\.25000(,URI=\"r-16\.2)", r"0.26100\1", of("s0"))),
    Mutation(27, "captions-differ", data(patched(b"more", b"less"), media(r"s0/r-16\.1\.vtt"))),
    Mutation(44, "captions-missing", sub(r"#EXT-X-RENDITION-REPORT:URI=\"../s0.*\n", "")),
    Mutation(45, "captions-are-late", lagging("s0", 1)),
    Mutation(46, "captions-differ", sub("TARGETDURATION:1", "TARGETDURATION:2", of("s0"))),
    Mutation(49, "no-such-captions", sub('SUBTITLES="texts"', 'SUBTITLES="none"', index)),
    Mutation(49, "captions-nowhere", sub(',URI="s0/media.m3u8"', "", index)),
    Mutation(
        49,
        "two-defaults",
        sub(r'(#.*=SUBTITLES.*)(NAME="English)(.*)NO,AUTO(.*)', r"\1\2\3YES,AUTO\4\n" * 2, index),
    ),
    Mutation(60, "no-signature", data(patched(b"WEBVTT", b"WEBVT"), TEXT)),
    Mutation(60, "not-utf-8", data(patched(b"more", b"m\xf6re"), TEXT)),
    Mutation(60, "no-map", data(patched(b"X-TIMESTAMP", b"TIMESTAMP"), TEXT)),
    Mutation(60, "half-a-map", data(patched(b",MPEGTS:", b",MPEG:"), TEXT)),
    Mutation(60, "map-elsewhere", data(patched(b"MPEGTS:", b"MPEGTS:1"), TEXT)),
    Mutation(60, "dates-elsewhere", sub("T12:", "T13:", of("s0"))),
    Mutation(60, "bare-sign", data(patched(b"<i>", b"< i>"), TEXT)),
    Mutation(60, "bare-ampersand", data(patched(b"&amp;", b"&"), TEXT)),
    Mutation(60, "arrow-in-text", data(patched(b"more", b"-->"), TEXT)),
    Mutation(60, "no-times", data(patched(b" --> ", b" -> "), TEXT)),
    Mutation(60, "ends-before-it-begins", data(patched(b" --> 00:1", b" --> 00:0"), TEXT)),
    Mutation(60, "empty-cue", data(lambda body: re.sub(rb"Line.*", b" ", body), TEXT)),
    Mutation(60, "not-repeated", data(patched(b"Line", b"Another line"), media(r"s0/r-16.*"))),
    Mutation(61, "captions-text-plain", header("Content-Type", "text/plain", TEXT)),
)

_DELIVERY = (
    Mutation(61, "text-plain", header("Content-Type", "text/plain", playlists)),
    Mutation(
        61,
        "octet-stream",
        header("Content-Type", "application/octet-stream", lambda request: request.is_media),
    ),
    Mutation(62, "never-packed", packing=never_packed),
    Mutation(62, "no-vary", header("Vary", None, anything)),
    Mutation(62, "media-packed", packing=packed_media),
    Mutation(63, "none", header("Cache-Control", None, plain)),
    Mutation(63, "plain-too-long", header("Cache-Control", "max-age=10", plain)),
    Mutation(63, "held-too-short", header("Cache-Control", "max-age=1", held)),
    Mutation(63, "media-not-stored", header("Cache-Control", "no-store", PART)),
    Mutation(63, "failures-for-ever", header("Cache-Control", "max-age=3600", UNKNOWN)),
    Mutation(65, "http-1", http2=over(speaks, "http/1.1")),
    Mutation(65, "hangs-up", http2=over(hangs_up)),
    Mutation(65, "goes-away", http2=over(goes_away)),
    Mutation(65, "speaks-http-1", http2=over(speaks_http1)),
    Mutation(65, "cut-short", http2=over(cuts_short)),
    Mutation(65, "refused", http2=over(answers(status=505))),
    Mutation(65, "no-playlist", http2=over(answers(body=b"<html>"))),
    Mutation(66, "ignored", packing=no_ranges),
    Mutation(66, "other-bytes", packing=wrong_range),
    Mutation(66, "no-content-range", packing=header("Content-Range", None, anything, 206)),
    Mutation(67, "segment", redirect(media(r"v0/r-16\.m4s"))),
    Mutation(67, "playlist", redirect(lambda request: later(request) and request.nth == 9)),
    Mutation(69, "not-on-404", header("Access-Control-Allow-Origin", None, anything, 404)),
    Mutation(69, "not-on-400", header("Access-Control-Allow-Origin", None, anything, 400)),
    Mutation(69, "not-on-206", packing=header("Access-Control-Allow-Origin", None, anything, 206)),
    Mutation(69, "nothing-exposed", header("Access-Control-Expose-Headers", None, anything)),
    Mutation(69, "no-options", status(405, options)),
    Mutation(69, "no-range-allowed", header("Access-Control-Allow-Headers", None, options)),
    Mutation(70, "refused", packing=status(405, head())),
    Mutation(
        70,
        "other-length",
        packing=header("Content-Length", "7", head(lambda request: request.is_media)),
    ),
    Mutation(70, "other-type", packing=header("Content-Type", "text/html", head())),
    Mutation(70, "blocks", blocking_head),
)

MUTATIONS = (
    *_SYNTAX,
    *_TIME,
    *_PARTS,
    *_DIRECTIVES,
    *_TOGETHER,
    *_BOXES,
    *_CAPTIONS,
    *_DELIVERY,
)
