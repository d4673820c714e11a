"""That a stream is silent is known from its sound, in a real player that nobody hears."""

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
ENGINE = """
    const done = arguments[arguments.length - 1];
    const video = document.body.appendChild(document.createElement("video"));
    video.muted = true;
    import("/static/engines.js").then(({ HlsJsEngine }) => {
        const problems = [];
        const noted = (error) => problems.push(error);
        const engine = new HlsJsEngine(video, "/index.m3u8", { failed: noted, noted });
        const spans = [[0.2, 1.5], [0.5, 3], [2.3, 3.5], [9, 9.5]];
        engine.start();
        const timer = setInterval(() => {
            const all = video.buffered.length && video.buffered.end(0) > 3.7;
            if (!all && !problems.length) return;
            clearInterval(timer);
            done([spans.map((span) => engine.isSilent(...span)), problems]);
            engine.stop();
        }, 100);
    });
"""


def test_the_sound_of_a_stream_tells_when_it_is_silent(chromium: Chrome, tmp_path: Path) -> None:
    argv = [FFMPEG, "-loglevel", "error", "-f", "lavfi", "-i", PICTURES, "-f", "lavfi", "-i", SOUND]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25"]
    argv += ["-c:a", "aac", "-b:a", "16k", "-f", "hls", "-hls_segment_type", "fmp4"]
    argv += ["-hls_time", "1", "-hls_list_size", "0", "-hls_playlist_type", "vod"]
    argv += ["-map", "0", "-map", "1", "-var_stream_map", "v:0,agroup:a a:0,agroup:a,default:yes"]
    argv += ["-master_pl_name", "index.m3u8", "media_%v.m3u8"]
    subprocess.run(argv, cwd=tmp_path, check=True)
    (tmp_path / "static").symlink_to(STATIC)
    (tmp_path / "bare.html").write_text("<!doctype html><title>bare</title>", "utf-8")
    with serve_folder(tmp_path) as url:
        chromium.get(f"{url}/bare.html")
        silent, problems = chromium.execute_async_script(ENGINE)
    assert problems == []
    assert silent == [True, False, False, None]
