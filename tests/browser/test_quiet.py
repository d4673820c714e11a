"""When a stream is silent is known from its sound, in a real player that nobody hears."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.browser.conftest import STATIC
from tests.browser.folder_site import serve_folder
from tests.clips import FFMPEG

pytestmark = pytest.mark.browser

# Two seconds of silence, then two of a quiet tone; sound and pictures are renditions of their own.
SOUND = "aevalsrc='if(lt(t,2),0,0.01*sin(880*PI*t))':s=48000:d=4"
PICTURES = "color=c=teal:s=160x90:r=25:d=4"
SPANS = [[0.2, 1.5], [0.5, 3], [2.3, 3.5], [9, 9.5]]
MOMENTS = [1, 3, 9]
MULTIVARIANT = """#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Sound",DEFAULT=YES,URI="media_1.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=200000,AUDIO="a"
media_0.m3u8
"""
# What makes a stream one of a face: captions that a viewer may choose.
CAPTIONS = '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="Captions",URI="captions.m3u8"\n'
OF_A_FACE = MULTIVARIANT.replace(
    "#EXT-X-STREAM-INF:", f'{CAPTIONS}#EXT-X-STREAM-INF:SUBTITLES="s",'
)
ENGINE = """
    const [playlist, spans, moments, done] = arguments;
    const video = document.body.appendChild(document.createElement("video"));
    video.muted = true;
    import("/static/engines.js").then(({ HlsJsEngine }) => {
        const problems = [];
        const noted = (error) => problems.push(error);
        const engine = new HlsJsEngine(video, playlist, { failed: noted, noted });
        engine.start();
        const timer = setInterval(() => {
            const all = video.buffered.length && video.buffered.end(0) > 3.7;
            if (!all && !problems.length) return;
            clearInterval(timer);
            done([
                spans.map((span) => engine.isSilent(...span)),
                moments.map((moment) => engine.speaksAt(moment)),
                problems,
            ]);
            engine.stop();
        }, 100);
    });
"""


def test_the_sound_of_a_stream_tells_when_it_is_silent(chromium: Chrome, tmp_path: Path) -> None:
    argv = [FFMPEG, "-loglevel", "error", "-f", "lavfi", "-i", PICTURES, "-f", "lavfi", "-i", SOUND]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "5"]
    argv += ["-c:a", "aac", "-b:a", "16k", "-f", "hls", "-hls_segment_type", "fmp4"]
    argv += ["-hls_time", "0.4", "-hls_list_size", "0", "-hls_playlist_type", "vod"]
    argv += ["-hls_segment_filename", "media_%v_%d.m4s"]
    argv += ["-map", "0", "-map", "1", "-var_stream_map", "v:0,agroup:a a:0,agroup:a,default:yes"]
    argv.append("media_%v.m3u8")
    subprocess.run(argv, cwd=tmp_path, check=True)
    (tmp_path / "static").symlink_to(STATIC)
    (tmp_path / "bare.html").write_text("<!doctype html><title>bare</title>", "utf-8")
    (tmp_path / "film.m3u8").write_text(MULTIVARIANT, "utf-8")
    (tmp_path / "face.m3u8").write_text(OF_A_FACE, "utf-8")
    with serve_folder(tmp_path) as url:
        chromium.get(f"{url}/bare.html")
        answers = [
            chromium.execute_async_script(ENGINE, playlist, SPANS, MOMENTS)
            for playlist in ("/film.m3u8", "/face.m3u8")
        ]
    assert [problems for *_, problems in answers] == [[], []]
    assert [silent for silent, *_ in answers] == [[True, False, False, None]] * 2
    # Of a film, or a camera, nobody knows who makes the sound.
    assert [speaks for _, speaks, _ in answers] == [[None] * 3, [False, True, None]]
