"""The page's own arithmetic and grammar, called in a browser without a service."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from selenium.webdriver import Chrome

from tests.browser.accessibility import assert_accessible

pytestmark = pytest.mark.browser

BASE = "https://studio.test/lip/"
LINK = "AbCdEfGhIjKlMnOpQrStUvWxYz01"


def call(page: Chrome, module: str, name: str, *arguments: Any) -> Any:
    script = """
        const [module, name, given, done] = arguments;
        import("/static/" + module).then((m) => done(m[name](...given)));
    """
    return page.execute_async_script(script, module, name, arguments)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", {"stream": "demo", "token": ""}),
        ("?stream=me-2", {"stream": "me-2", "token": ""}),
        (f"?stream=me&token={LINK}", {"stream": "me", "token": LINK}),
        ("?stream=../x&token=short", {"stream": "demo", "token": ""}),
        ("?stream=<b>", {"stream": "demo", "token": ""}),
    ],
)
def test_the_address_says_what_is_played(page: Chrome, search: str, found: dict[str, str]) -> None:
    assert call(page, "address.js", "readAddress", search) == found


@pytest.mark.parametrize(("token", "way"), [("", ""), (LINK, f"t/{LINK}/")])
def test_addresses_of_a_stream_below_a_folder(page: Chrome, token: str, way: str) -> None:
    playing = {"stream": "me", "token": token}
    playlist = call(page, "address.js", "playlistUrl", playing, f"{BASE}?stream=demo#x")
    assert playlist == f"{BASE}live/me/{way}index.m3u8"
    shared = call(page, "address.js", "pageUrl", playing, f"{BASE}demo?engine=native#x")
    assert shared == f"{BASE}?stream=me" + (f"&token={token}" if token else "")
    told = call(page, "address.js", "readPlayback", f"/live/me/{way}index.m3u8")
    assert told == playing


@pytest.mark.parametrize(
    ("host", "own"),
    [("localhost", True), ("127.0.0.1", True), ("[::1]", True), ("studio.local", False)],
)
def test_an_address_that_leads_a_phone_to_itself(page: Chrome, host: str, own: bool) -> None:
    assert call(page, "address.js", "isLoopback", host) is own


# Events come in, then the picture of a moment is shown; times in ms.
SPEECH = """
    const [events, moments, done] = arguments;
    import("/static/speech.js").then(({ Speech }) => {
        const speech = new Speech();
        for (const [kind, facts] of events) speech.add(kind, facts);
        const at = (ms) => (ms === null ? null : new Date(ms));
        done(moments.map((ms) => [speech.talkingAt(at(ms)),
            speech.list(at(ms)).map(({ utterance, status }) => [utterance, status])]));
    });
"""


def queued(name: str, seconds: float) -> list[Any]:
    return ["speech_queued", {"utterance": name, "duration_seconds": seconds}]


def at(kind: str, name: str, ms: int, **more: Any) -> list[Any]:
    return [kind, {"utterance": name, "date_ms": ms, **more}]


@pytest.mark.parametrize(
    ("events", "moments"),
    [
        pytest.param(
            [
                queued("a", 2),
                at("speech_started", "a", 5000),
                at("speech_finished", "a", 7000),
                queued("b", 1),
            ],
            [
                (4999, False, [["a", "waiting"], ["b", "waiting"]]),
                (5000, True, [["a", "talking"], ["b", "waiting"]]),
                (6999, True, [["a", "talking"], ["b", "waiting"]]),
                (7000, False, [["a", "said"], ["b", "waiting"]]),
                (None, None, [["a", "waiting"], ["b", "waiting"]]),
            ],
            id="of the picture that is shown, not of the news",
        ),
        pytest.param(
            [
                queued("a", 9),
                at("speech_started", "a", 5000),
                at("speech_interrupted", "a", 6000, started=True),
                queued("b", 1),
                ["speech_interrupted", {"utterance": "b", "started": False, "at": 6}],
            ],
            [
                (5500, True, [["b", "stopped"], ["a", "talking"]]),
                (6000, False, [["a", "stopped"], ["b", "stopped"]]),
            ],
            id="interrupted, and never begun",
        ),
        pytest.param(
            [
                queued("a", 2),
                at("speech_started", "a", 5000),
                ["speech_lost", {"utterance": "a", "at": 6}],
            ],
            [(5500, True, [["a", "talking"]]), (6100, False, [["a", "lost"]])],
            id="its worker was killed",
        ),
        pytest.param(
            [queued("a", 2), at("speech_started", "a", 5000)],
            [(8999, True, [["a", "talking"]]), (9000, False, [["a", "said"]])],
            id="the end was never told",
        ),
        pytest.param(
            [
                at("speech_started", "u0", 1000),
                at("speech_finished", "u0", 9000),
                at("speech_started", "u0", 11_000),
                ["source", {"source": "waiting", "at": 12}],
            ],
            [(8999, False, []), (10_999, False, []), (11_500, True, []), (12_000, False, [])],
            id="what repeats is known by its newest round, and ends with its source",
        ),
        pytest.param(
            [
                queued("a", 60),
                at("speech_started", "a", 1000),
                queued("b", 1),
                at("speech_started", "b", 3000),
            ],
            [
                (2999, True, [["a", "talking"], ["b", "waiting"]]),
                (3000, True, [["a", "said"], ["b", "talking"]]),
            ],
            id="one at a time",
        ),
        pytest.param(
            [["speech_queued", {"utterance": "a", "live": True}], at("speech_started", "a", 1000)],
            [(999_000, True, [["a", "talking"]])],
            id="somebody speaks live, and nobody knows how long",
        ),
    ],
)
def test_talking_is_said_of_what_is_shown(
    page: Chrome, events: list[Any], moments: list[tuple[int | None, bool | None, list[Any]]]
) -> None:
    seen = page.execute_async_script(SPEECH, events, [moment for moment, *_ in moments])
    assert seen == [[talking, rows] for _, talking, rows in moments]


def test_the_list_of_what_is_said_stays_short(page: Chrome) -> None:
    over = [
        event
        for n in range(20)
        for event in (
            queued(f"u{n}", 1),
            at("speech_started", f"u{n}", 1000 * n),
            at("speech_finished", f"u{n}", 1000 * n + 500),
        )
    ]
    ((_, rows),) = page.execute_async_script(SPEECH, [*over, queued("next", 1)], [90_000])
    assert [name for name, _ in rows] == ["u15", "u16", "u17", "u18", "u19", "next"]


def test_events_are_read_however_they_are_cut(page: Chrome) -> None:
    whole = (
        'retry: 2000\nid: 7\nevent: now\ndata: {}\n\n:\n\nid: 8\nevent: state\ndata: {"a": "b"}\n\n'
    )
    script = """
        const [whole, done] = arguments;
        import("/static/events.js").then(({ readEvents }) => {
            let [rest, told] = ["", []];
            for (const letter of whole) {
                const cut = readEvents(rest + letter);
                rest = cut.rest;
                told.push(...cut.events);
            }
            done([told, rest]);
        });
    """
    told, rest = page.execute_async_script(script, whole)
    assert told == [
        {"id": "7", "kind": "now", "facts": {}},
        {"id": "8", "kind": "state", "facts": {"a": "b"}},
    ]
    assert rest == ""


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ({"size": 999, "type": "audio/wav"}, ""),
        ({"size": 999, "type": ""}, ""),
        ({"size": 0, "type": "audio/wav"}, "empty"),
        ({"size": 1_000_001, "type": "audio/wav"}, "1 MB is the limit"),
        ({"size": 999, "type": "image/png"}, "no sound: image/png"),
    ],
)
def test_what_would_be_refused_is_not_sent(page: Chrome, file: dict[str, Any], words: str) -> None:
    refused = call(page, "limits.js", "refuseFile", file, {"kind": "audio", "bytes": 1_000_000})
    assert words in refused
    assert bool(refused) == bool(words)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("formatBytes", 999, "999 bytes"),
        ("formatBytes", 1_500_000, "1.5 MB"),
        ("formatBytes", 32_000_000, "32 MB"),
        ("formatSeconds", 0.44, "0.4 s"),
        ("formatSeconds", 24.24, "24 s"),
        ("formatSeconds", 600, "10 min"),
    ],
)
def test_figures_as_people_write_them(page: Chrome, name: str, value: float, text: str) -> None:
    assert call(page, "limits.js", name, value) == text


def test_only_what_differs_is_wished(page: Chrome) -> None:
    script = """
        const done = arguments[arguments.length - 1];
        import("/static/form.js").then(({ changesOf }) => done(changesOf(new Map([
            ["fps", { schema: { type: "integer", default: 25 }, raw: "30" }],
            ["width", { schema: { type: "integer", default: 1280 }, raw: "1280" }],
            ["height", { schema: { type: "integer", default: 720 }, raw: "" }],
            ["mpegts", { schema: { type: "boolean", default: false }, raw: true }],
            ["latency", { schema: { default: "low", enum: ["ultra", "low"] }, raw: "low" }],
            ["engine", { schema: { enum: ["auto", "presenter"] }, raw: "presenter" }],
        ]))));
    """
    assert page.execute_async_script(script) == {"fps": 30, "mpegts": True, "engine": "presenter"}


@pytest.mark.parametrize(
    ("schema", "seen"),
    [
        (
            {"type": "integer", "minimum": 1, "maximum": 60, "default": 25},
            ["number", "25", "1", "60"],
        ),
        (
            {"type": "string", "enum": ["", "mp4"], "default": "mp4"},
            ["select-one", "mp4", None, None],
        ),
        ({"type": "boolean", "default": True}, ["checkbox", "on", None, None]),
        ({"type": "string", "default": "auto"}, ["text", "auto", None, None]),
    ],
)
def test_a_description_becomes_a_field(
    page: Chrome, schema: dict[str, Any], seen: list[Any]
) -> None:
    script = """
        const [schema, done] = arguments;
        import("/static/form.js").then(({ makeField }) => {
            const { node } = makeField("a_b", { ...schema, description: "<i>why</i>" });
            const input = node.querySelector("input, select");
            done([[input.type, input.value, input.getAttribute("min"), input.getAttribute("max")],
                  node.querySelector("label").textContent, node.querySelector("p").textContent,
                  node.querySelectorAll("i").length]);
        });
    """
    made, label, hint, markup = page.execute_async_script(script, schema)
    assert (made, label, hint, markup) == (seen, "A b", "<i>why</i>", 0)


@pytest.mark.parametrize(
    ("description", "owner"),
    [("ditto: steps of a window", "ditto"), ("low: 0.2 s a part", None), ("", None)],
)
def test_a_setting_tells_whose_it_is(page: Chrome, description: str, owner: str | None) -> None:
    schema = {"description": description}
    assert call(page, "form.js", "ownerOf", schema, ["auto", "presenter", "ditto"]) == owner


@pytest.mark.parametrize(
    ("loads", "kbit"),
    [
        ([], None),
        ([[9000, 500]], None),
        ([[8000, 999_999], [9000, 125_000], [10_000, 125_000]], 1000),
        (
            [[0, 1], [8000, 1], [10_500, 125_000]],
            1_000_000 / 3000,
        ),  # what is long past counts no more
    ],
)
def test_bits_a_second(page: Chrome, loads: list[list[float]], kbit: float | None) -> None:
    rows = [{"atMs": ms, "bytes": size} for ms, size in loads]
    found = call(
        page, "network.js", "kbitOf", rows, 10_000 if len(loads) < 3 or loads[0][0] else 11_000
    )
    assert found == (None if kbit is None else pytest.approx(kbit))


def test_a_plot_has_gaps_where_nothing_is_known(page: Chrome) -> None:
    lines = call(page, "plot.js", "linesOf", [1, 1, None, 2, 4], 5, 2)
    assert lines == ["0.0,22.0 60.0,22.0", "180.0,1.0 240.0,1.0"]


@pytest.mark.parametrize(
    ("values", "least", "top"),
    [([], 1, 1), ([0.3, None], 1, 1), ([1.2], 1, 1.5), ([870], 100, 900), ([1210], 100, 1500)],
)
def test_the_top_of_a_plot_is_round(
    page: Chrome, values: list[float | None], least: float, top: float
) -> None:
    assert call(page, "plot.js", "topOf", values, least) == top


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (413, '{"detail": "the file is too large"}', "The file is too large."),
        (502, "<html>", "The server answers 502."),
        (0, "", "The server does not answer. Check the connection and try again."),
    ],
)
def test_a_refusal_is_told_in_words(page: Chrome, status: int, body: str, words: str) -> None:
    script = """
        const [status, body, done] = arguments;
        import("/static/api.js").then(({ refusal }) => done(refusal(status, body).message));
    """
    assert page.execute_async_script(script, status, body) == words


def test_the_code_for_a_phone_is_readable(page: Chrome) -> None:
    link = f"{BASE}?stream=s0123456789abcdef&token={LINK}"
    script = """
        const [text, done] = arguments;
        import("/static/qr.js").then(({ qrPicture }) => {
            const picture = qrPicture(text);
            const path = picture.querySelector("path");
            done([picture.getAttribute("viewBox"), path.getAttribute("d")]);
        });
    """
    box, path = page.execute_async_script(script, link)
    side = int(box.split()[-1])
    modules = np.full((side, side), 255, np.uint8)
    for square in path.split("M")[1:]:
        column, row = square.partition("h")[0].split()
        modules[int(row), int(column)] = 0
    read, *_ = cv2.QRCodeDetector().detectAndDecode(np.kron(modules, np.ones((6, 6), np.uint8)))
    assert read == link


@pytest.mark.parametrize(
    ("load", "rate"),
    [
        ({"bytes": 10_000, "ms": 400, "firstMs": 320, "seconds": 0.2}, 250_000),
        ({"bytes": 10_000, "ms": 199, "firstMs": 150, "seconds": 0.2}, None),  # that was not it
        ({"bytes": 0, "ms": 900, "firstMs": 900, "seconds": 0.2}, None),  # nothing comes at all
        ({"bytes": 1000, "ms": 900, "firstMs": 800, "seconds": 0.2}, 110_000),  # the lowest
        ({"bytes": 90_000, "ms": 300, "firstMs": 0, "seconds": 0.2}, None),  # far, not slow
    ],
)
def test_what_a_network_gives_after_a_stall(
    page: Chrome, load: dict[str, float], rate: float | None
) -> None:
    found = call(page, "engines.js", "rateAfterStall", load, 900_000, 100_000)
    assert found == (None if rate is None else pytest.approx(rate))


@pytest.mark.parametrize(
    ("before", "now", "other"),
    [
        (None, (900, 907), False),
        ((1, 8), (1, 8), False),
        ((1, 8), (2, 9), False),
        ((1, 8), (9, 16), False),  # the last moment at which they meet
        ((1, 8), (10, 10), True),
        ((900, 907), (893, 900), False),  # a rung's playlist that is a little older
        ((900, 907), (1, 3), True),
    ],
)
def test_another_run_has_numbers_that_do_not_meet(
    page: Chrome, before: tuple[int, int] | None, now: tuple[int, int], other: bool
) -> None:
    known, found = (
        each and dict(zip(("startSN", "endSN"), each, strict=True)) for each in (before, now)
    )
    assert call(page, "engines.js", "isOfAnotherRun", known, found) is other


# Parts, of 0.2 s if not said otherwise; each a moof of 100 bytes and so many bytes of samples.
QUIET = """
    const [parts, name, spans, done] = arguments;
    import("/static/quiet.js").then(({ Quiet }) => {
        const quiet = new Quiet();
        parts.forEach(([at, bytes, duration = 0.2]) => {
            const view = new DataView(new ArrayBuffer(108 + bytes));
            [100, 0x6d6f6f66].forEach((word, n) => view.setUint32(4 * n, word));
            [8 + bytes, 0x6d646174].forEach((word, n) => view.setUint32(100 + 4 * n, word));
            quiet.add({ start: at, end: at + duration, duration }, view.buffer);
        });
        done(spans.map((span) => quiet[name](...span)));
    });
"""


@pytest.mark.parametrize(
    ("parts", "span", "silent"),
    [
        ([(10, 60), (10.2, 60), (10.4, 60)], (10.1, 10.5), True),
        ([(10.2, 60), (10, 60), (10.4, 60)], (10.1, 10.5), True),  # out of order
        ([(10, 60), (10.2, 400), (10.4, 60)], (10.1, 10.5), False),  # 16 kbit/s
        ([(10, 400), (10.2, 60), (10.4, 60)], (10.25, 10.5), True),
        ([(10, 60), (10.4, 60)], (10.1, 10.5), None),  # a hole
        ([(10, 60)], (10.1, 10.6), None),  # not loaded yet
        ([(10, 0)], (10.1, 10.1), False),  # no media that we know of
        ([], (10.1, 10.1), None),
    ],
)
def test_silence_is_told_by_its_bits(
    page: Chrome, parts: list[Any], span: tuple[float, float], silent: bool | None
) -> None:
    assert page.execute_async_script(QUIET, parts, "between", [span]) == [silent]


SILENT, LOUD = 60, 400


def parts_of(start: float, *sizes: int) -> list[tuple[float, int]]:
    return [(start + 0.2 * n, size) for n, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("parts", "moments"),
    [
        pytest.param(
            parts_of(10, *[SILENT] * 5, *[LOUD] * 5, *[SILENT] * 5),
            [(9.9, None), (10.9, False), (11.1, True), (11.9, True), (12.1, False), (13.1, None)],
            id="between silences",
        ),
        pytest.param(
            parts_of(10, LOUD, *[SILENT] * 3, LOUD),
            [(10.3, True), (10.7, True)],
            id="a breath",
        ),
        pytest.param(
            parts_of(10, LOUD, *[SILENT] * 4, LOUD),
            [(10.1, True), (10.3, False), (10.5, False), (10.9, False), (11.1, True)],
            id="a rest, also in its middle",
        ),
        pytest.param(parts_of(10, LOUD, SILENT), [(10.3, False)], id="what comes is not here yet"),
        pytest.param(
            [(10, 4000, 2.0), *parts_of(12, SILENT, LOUD)],
            [(11, None), (12.1, False), (12.3, True)],
            id="somewhere in a whole segment",
        ),
        pytest.param(
            [(10, 600, 2.0), *parts_of(12, LOUD)],
            [(11, False), (12.1, True)],
            id="a whole segment of silence",
        ),
        pytest.param([(10, 0)], [(10.1, None)], id="no media that we know of"),
    ],
)
def test_who_is_told_nothing_hears_when_the_face_speaks(
    page: Chrome, parts: list[Any], moments: list[tuple[float, bool | None]]
) -> None:
    asked = [[moment] for moment, _ in moments]
    heard = page.execute_async_script(QUIET, parts, "soundsAt", asked)
    assert heard == [sounds for _, sounds in moments]


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (
            "lipstream: /srv/me.jpg: no face found in 64x64 pixels, tried haar; choose another",
            "No face was found in this photo. Choose an upright portrait, seen from the front.",
        ),
        ("lipstream: /srv/me.jpg: cannot be read", "It did not start: cannot be read"),
    ],
)
def test_why_a_face_was_refused(page: Chrome, last: str, words: str) -> None:
    figures = {"reason": "", "processes": [{"last_exit": {"stderr": [last]}}, {}]}
    assert call(page, "draft.js", "whyFailed", figures) == words


DROP = """
    const [disabled, done] = arguments;
    import("/static/drop.js").then(({ takeFiles }) => {
        const [place, input] = [document.createElement("div"), document.createElement("input")];
        Object.assign(input, { type: "file", disabled });
        const [taken, marked] = [[], []];
        takeFiles(place, input, (file) => taken.push(file.name));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(["x"], "voice.wav"));
        for (const name of ["dragenter", "dragover", "drop"]) {
            const event = new DragEvent(name, { dataTransfer, cancelable: true });
            place.dispatchEvent(event);
            marked.push([place.classList.contains("over"), event.defaultPrevented]);
        }
        done([taken, marked]);
    });
"""


@pytest.mark.parametrize(("disabled", "taken"), [(False, ["voice.wav"]), (True, [])])
def test_a_file_can_be_dropped(page: Chrome, disabled: bool, taken: list[str]) -> None:
    found, marked = page.execute_async_script(DROP, disabled)
    assert found == taken
    assert marked == [[True, False], [True, True], [False, True]], "the browser does not open it"


# A stall (byViewer: false) or a pause ends at 10 s; each look says whether the face is silent.
LOOKS = """
    const [byViewer, looks, done] = arguments;
    import("/static/catchup.js").then(({ CatchUp }) => {
        const catchUp = new CatchUp();
        const buffered = { length: 1, start: () => 0, end: () => 99 };
        catchUp.started(0);
        done(looks.map(([now, position, target, silent]) => {
            if (now === 10000) catchUp.resumed(now, byViewer);
            return catchUp.look(now, position, target, 0.6, buffered, silent);
        }));
    });
"""


@pytest.mark.parametrize(
    ("by_viewer", "looks", "jumps"),
    [
        pytest.param(False, [(750, 1, 2, False)], [2], id="nobody has heard how it began"),
        pytest.param(
            False,
            [(10_000, 9, 9.9, False), (12_000, 11, 11.9, False), (15_000, 14, 14.9, True)],
            [None, None, 14.9],
            id="after a stall the sentence is heard to its end",
        ),
        pytest.param(
            True, [(10_000, 9, 11, False)], [11], id="who pauses wants to see what is now"
        ),
        pytest.param(False, [(20_000, 9, 12.1, False)], [12.1], id="so far behind it is not live"),
        pytest.param(
            False, [(20_000, 9, 9.3, True), (21_000, 9, 9.5, True)], [None, 9.5], id="worth it"
        ),
        pytest.param(
            False,
            [(20_000, 9, 10, True), (25_000, 14, 15, True), (30_001, 19, 20, True)],
            [10, None, 20],
            id="not every moment",
        ),
        pytest.param(False, [(20_000, 9, 10, None)], [None], id="where nobody knows it stays"),
    ],
)
def test_words_are_not_jumped_over(
    page: Chrome, by_viewer: bool, looks: list[tuple[Any, ...]], jumps: list[float | None]
) -> None:
    assert page.execute_async_script(LOOKS, by_viewer, looks) == jumps


# hls.js makes tracks as elements; of an engine that ends they are hidden, then taken away.
CAPTIONS = """
    const done = arguments[arguments.length - 1];
    document.body.innerHTML = '<button id="captions"></button><video></video>';
    const [button, video] = document.body.children;
    const frame = () => new Promise((resolve) => { setTimeout(resolve, 50); });
    const add = () => {
        const node = Object.assign(document.createElement("track"), { kind: "subtitles" });
        video.append(node);
        return node;
    };
    import("/static/captions.js").then(async ({ setUpCaptions }) => {
        setUpCaptions(video);
        const first = add();
        await frame();
        button.click();
        await frame();
        const before = [first.track.mode, button.ariaPressed];
        first.track.mode = "hidden";
        first.remove();
        await frame();
        const between = [button.hidden, button.ariaPressed];
        const second = add();
        await frame();
        const after = [second.track.mode, button.ariaPressed];
        second.track.mode = "disabled"; // in the browser's own menu
        await frame();
        document.body.replaceChildren();
        done({ before, between, after, off: button.ariaPressed });
    });
"""


def test_captions_stay_on_when_the_player_starts_over(page: Chrome) -> None:
    assert page.execute_async_script(CAPTIONS) == {
        "before": ["showing", "true"],
        "between": [True, "true"],
        "after": ["showing", "true"],
        "off": "false",
    }


RUNGS = """
    const done = arguments[arguments.length - 1];
    document.body.innerHTML = '<p id="rung-field" hidden><select id="rung"></select></p>';
    import("/static/rung.js").then(({ RungChoice }) => {
        const rungs = [{ height: 720, kbit: 2500 }, { height: 360, kbit: 530 }];
        const session = { rungs, fixedRung: null, fixRung(height) { this.fixedRung = height; } };
        const choice = new RungChoice(session);
        const select = document.getElementById("rung");
        const look = (there) => {
            session.rungs = there;
            choice.show();
            return [select.parentNode.hidden, select.value];
        };
        const choose = (value) => {
            select.value = value;
            select.dispatchEvent(new Event("change"));
        };
        choice.start();
        const seen = [look([]), look(rungs)];
        const options = [...select.options];
        choose("360");
        seen.push(look(rungs));
        const isSame = options.every((option, at) => option === select.options[at]);
        seen.push(look([]), look(rungs), look(rungs.slice(0, 1)), look(rungs));
        choose("auto");
        seen.push(look(rungs));
        document.body.replaceChildren();
        done([seen, session.fixedRung, isSame]);
    });
"""


def test_the_choice_of_a_rung_outlives_the_player_that_it_was_made_for(page: Chrome) -> None:
    seen, fixed, is_same = page.execute_async_script(RUNGS)
    assert seen == [
        [True, ""],
        [False, "auto"],
        [False, "360"],
        [False, "360"],  # the player starts over
        [False, "360"],
        [True, "auto"],  # another stream, of one rendition
        [False, "360"],
        [False, "auto"],
    ]
    assert fixed is None
    assert is_same, "nothing is taken from under the hand that chooses"


# A session whose engine does nothing, and playlists that are always there.
ANOTHER = """
    const done = arguments[arguments.length - 1];
    const text = async () => "#EXTM3U\\n#EXTINF:2,\\nmedia.m3u8\\n";
    const here = (url) => new URL(url, location.href).href;
    // Each is both kinds of playlist at once.
    window.fetch = async (url) => ({ ok: true, status: 200, text, url: here(url) });
    import("/static/session.js").then(({ Session }) => {
        const session = new Session(document.createElement("video"), "/one.m3u8", null, () => {});
        const begun = [];
        session.engineClass = class {
            constructor(video, url) {
                begun.push([url, performance.now()]);
                if (begun.length === 1) setTimeout(() => session.watch("/two.m3u8"), 100);
                else done([begun[1][0], begun[1][1] - begun[0][1]]);
            }
            fixRung() {}
            start() {}
            stop() {}
        };
        session.run();
    });
"""


def test_another_stream_is_begun_at_once(page: Chrome) -> None:
    url, ms = page.execute_async_script(ANOTHER)
    page.refresh()  # such a session never ends
    assert url == "/two.m3u8"
    assert 100 <= ms < 900, "the rest of a second is for streams that broke off"


@pytest.mark.parametrize(
    ("markup", "rule"),
    [
        ("<main><input></main>", "label"),
        ("<main><p style='color:#999;background:#fff'>pale</p></main>", "color-contrast"),
    ],
)
def test_what_keeps_people_out_is_found(page: Chrome, markup: str, rule: str) -> None:
    """The check of the page's states can fail."""
    page.execute_script("document.body.innerHTML = arguments[0]", markup)
    try:
        with pytest.raises(AssertionError, match=rule):
            assert_accessible(page, "made up")
    finally:
        page.execute_script("document.body.replaceChildren()")
