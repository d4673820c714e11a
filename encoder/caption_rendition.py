"""The captions of a stream as a rendition: WebVTT cut exactly where the best picture is cut.

It has parts, held reloads and reports as the others have (44 to 46), and parts are what hls.js from
1.7 on, and Apple's players, read near the live edge: a whole segment would come after its words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from encoder.archive import Archive
from encoder.captions import Captions
from encoder.packager import Calendar, Era, Layout, Past, Rendition
from encoder.playlist import VTT_VERSION
from encoder.rates import Rates
from encoder.recorder import Recorder
from encoder.segmenter import Part, Segment, Segmenter
from encoder.store import StreamStore
from encoder.timing import Timing, TrackTiming
from encoder.webvtt import HEADER_BYTES, VTT_SUFFIX, most_cues, write_webvtt

CAPTIONS = "s0"
# Two lines of Latin text, their times and their name.
_USUAL_CUE_BYTES = 150


class CaptionSegmenter(Segmenter):
    """Cuts captions where pictures are cut."""

    def __init__(self, timing: TrackTiming, first_msn: int, captions: Captions) -> None:
        super().__init__(timing, first_msn, is_video=False)
        self._track, self._captions = timing, captions

    def follow(self, item: Part | Segment) -> Part | Segment:
        """The same span of captions."""
        start = Fraction(item.start_ticks, self._track.timescale_hz)
        cues = self._captions.between(start, start + item.duration)
        data = write_webvtt(cues[-most_cues(item.duration) :])
        if isinstance(item, Segment):
            self._index += 1
            self._captions.forget_before(start)
            return replace(item, data=data, samples=())
        self._next_frame += item.frames
        return replace(item, data=data, independent=True)


class CaptionRendition(Rendition):
    """Follows the best picture: parts and segments of the same length, in the same instant.

    Args:
        video: the best picture.
        timing: of the stream.
        captions: what is said.
        layout, calendar, store, past, archive, recorder: as those of the other renditions.
    """

    suffix = VTT_SUFFIX
    version = VTT_VERSION

    def __init__(
        self,
        video: Rendition,
        captions: Captions,
        layout: Layout,
        calendar: Calendar,
        store: StreamStore,
        past: Past,
        archive: Archive | None,
        recorder: Recorder | None,
    ) -> None:
        timing = layout.timing.video
        super().__init__(CAPTIONS, timing, layout, calendar, store, past, archive, recorder)
        self._cutter = CaptionSegmenter(timing, self.segmenter.msn, captions)
        self.segmenter = self._cutter
        captions.begin_timeline()
        video.companions.append(self._follow)

    def _follow(self, published: Iterable[Part | Segment]) -> None:
        self.publish(self._cutter.follow(item) for item in published)

    def _map_uri(self, _era: Era) -> str:
        return ""


def captions_rates(timing: Timing) -> Rates:
    """What they usually weigh at most, bits a second: a line of text every two seconds."""
    files = HEADER_BYTES / timing.segment_seconds + _USUAL_CUE_BYTES
    return Rates(math.ceil(8 * files), math.ceil(8 * files))
