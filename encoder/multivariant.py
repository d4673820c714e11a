"""The multivariant playlist: written when the stream is live, raised if need be, true at its end.

Codecs and sizes are those of the real init segments (47), bit rates those of :mod:`encoder.rates`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from config import Settings
from encoder.caption_rendition import CaptionRendition, captions_rates
from encoder.iframes import IFRAMES_NAME
from encoder.packager import PLAYLIST_NAME, Rendition
from encoder.plan import StreamPlan
from encoder.playlist import (
    AudioMedia,
    SubtitleMedia,
    Variant,
    render_multivariant,
    render_ts_multivariant,
)
from encoder.publish import publish_text
from encoder.rates import NO_RATES, RateMeter, Rates, audio_bound, iframes_bound, video_bound
from encoder.store import StreamStore
from encoder.transport import TS_MULTIVARIANT_NAME, TsRendition, ts_bound, ts_name
from logs import event

MULTIVARIANT_NAME = "index.m3u8"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Promise:
    """What is announced of one media playlist."""

    meter: RateMeter
    rates: Rates  # at first what the rate control allows

    def revise(self) -> bool:
        """Raise it if the media weighs more; whether that was needed."""
        revised = self.rates.raised_to(self.meter.worst)
        changed, self.rates = revised != self.rates, revised
        return changed

    def tell_truth(self) -> None:
        """Nothing more will come: what is listed is all there is."""
        self.rates = self.meter.window


class Multivariant:
    """Publishes the multivariant playlist of a stream.

    Args:
        store: of the stream.
        settings: for the sound.
        plan: of the stream.
        videos: one rendition for each rung.
        audio: the sound.
        transport: the same in MPEG-TS, or nothing.
        captions: what is spoken, or nothing.
    """

    def __init__(
        self,
        store: StreamStore,
        settings: Settings,
        plan: StreamPlan,
        videos: Sequence[Rendition],
        audio: Rendition,
        transport: Sequence[TsRendition] = (),
        captions: CaptionRendition | None = None,
    ) -> None:
        self._store, self._settings, self._plan = store, settings, plan
        self._videos, self._audio = videos, audio
        timing = plan.timing
        self._sound = Promise(
            audio.meter,
            audio_bound(plan.sound, settings.audio_kbit, timing),
        )
        self._pictures = [
            Promise(rendition.meter, video_bound(rung.kbit, timing))
            for rung, rendition in zip(plan.rungs, videos, strict=True)
        ]
        self._iframes = [
            Promise(rendition.iframes.meter, iframes_bound(rung.kbit, timing))
            for rung, rendition in zip(plan.rungs, videos, strict=True)
            if rendition.iframes is not None
        ]
        sound = self._sound.rates
        self._muxed = [
            Promise(muxed.meter, ts_bound(pictures.rates, sound, timing))
            for muxed, pictures in zip(transport, self._pictures, strict=bool(transport))
        ]
        self._captions = captions
        self._text = Promise(captions.meter, captions_rates(timing)) if captions else None
        self._seen_msn = 0

    @property
    def _promises(self) -> list[Promise]:
        text = [self._text] if self._text else []
        return [self._sound, *self._pictures, *self._iframes, *self._muxed, *text]

    def refresh(self) -> None:
        """Publish it if it is not there, or says too little of a segment that came."""
        newest = sum(rendition.segmenter.msn for rendition in (*self._videos, self._audio))
        if newest == self._seen_msn:
            return
        is_new, self._seen_msn = not self._seen_msn, newest
        raised = [promise.rates for promise in self._promises if promise.revise()]
        if raised or is_new:
            self._publish()
        for rates in raised:  # the rate control did not hold what it should
            event(log, "bandwidth_raised", level=logging.WARNING, was=rates)

    def conclude(self) -> None:
        """The stream has ended: say what was measured, if there was anything to play."""
        if not self._seen_msn:
            return
        for promise in self._promises:
            promise.tell_truth()
        self._publish()

    def for_recording(self) -> str:
        """What a recording says of itself: it has no I-frame playlists."""
        return self._render(with_iframes=False)

    def _publish(self) -> None:
        if self._muxed:
            publish_text(self._store, TS_MULTIVARIANT_NAME, self._render_muxed())
        publish_text(self._store, MULTIVARIANT_NAME, self._render())

    def _render(self, *, with_iframes: bool = True) -> str:
        assert self._audio.track is not None
        media = AudioMedia(
            f"{self._audio.name}/{PLAYLIST_NAME}",
            self._audio.track.codecs,
            self._settings.audio_channels,
        )
        # Of any combination that is played (§4.4.6.2).
        others = self._sound.rates + (self._text.rates if self._text else NO_RATES)
        variants = [
            self._variant(rendition, promise.rates + others)
            for rendition, promise in zip(self._videos, self._pictures, strict=True)
        ]
        iframes = [
            self._variant(rendition, promise.rates, IFRAMES_NAME)
            for rendition, promise in zip(self._videos, self._iframes, strict=True)
        ]
        subtitles = None
        if self._captions:
            uri = f"{self._captions.name}/{PLAYLIST_NAME}"
            subtitles = SubtitleMedia(uri, self._plan.captions)
        shown = tuple(iframes) if with_iframes else ()
        return render_multivariant(media, tuple(variants), shown, subtitles)

    def _render_muxed(self) -> str:
        assert self._audio.track is not None
        sound = self._audio.track.codecs
        muxed = [
            self._variant(rendition, promise.rates)
            for rendition, promise in zip(self._videos, self._muxed, strict=True)
        ]
        return render_ts_multivariant(
            tuple(
                replace(
                    variant,
                    uri=f"{ts_name(rendition.name)}/{PLAYLIST_NAME}",
                    codecs=f"{variant.codecs},{sound}",
                )
                for variant, rendition in zip(muxed, self._videos, strict=True)
            )
        )

    def _variant(self, rendition: Rendition, rates: Rates, name: str = PLAYLIST_NAME) -> Variant:
        assert rendition.track is not None
        return Variant(
            uri=f"{rendition.name}/{name}",
            codecs=rendition.track.codecs,
            width=rendition.track.width,
            height=rendition.track.height,
            fps=self._plan.timing.fps,
            bandwidth=rates.peak,
            average_bandwidth=rates.average,
        )
