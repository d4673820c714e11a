"""``/metrics``: what Prometheus is told, right whichever web process is asked.

Nothing is kept here. Each process of the service writes down what it counts where all can read it
(the web processes: :mod:`server.counts`; encoder processes and supervisor: files in the media
root), and a scrape reads that. The names are listed in docs/operating.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from encoder.media_root import ROSTER, RUN
from server.counts import KINDS, STATUSES, WAYS, Sums, Table
from server.listing import list_streams, live_edge_age, oldest_ready_seconds
from server.roster import read_roster

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Shown:
    """How one figure of a stream becomes a metric.

    Args:
        figure: its name in ``run/<id>.json``.
        name: of the metric, without the prefix.
        text: its help.
        label: a further label, if the figure is an object: its keys become values of that.
    """

    figure: str
    name: str
    text: str
    label: str = ""

    def samples(self, stream: str, figures: Figures) -> Iterator[tuple[tuple[str, ...], float]]:
        """Label values and value; nothing while there is no figure."""
        value = figures.get(self.figure)
        if self.label:
            for key, one in (value or {}).items():
                if one is not None:
                    yield (stream, str(key)), float(one)
        elif value is not None:
            yield (stream,), float(value)


COUNTERS = (
    _Shown("parts", "parts", "Parts published (plain HLS: segments)", "rendition"),
    _Shown("media_bytes", "media_bytes", "Bytes of media published, boxes included", "rendition"),
    _Shown("units_fed", "frames_fed", "Frames handed to the encoder"),
    _Shown("units_repeated", "frames_repeated", "Frames filled with the last picture and silence"),
    _Shown("units_dropped", "frames_dropped", "Frames of the source that were given up"),
    _Shown("units_skipped", "frames_skipped", "Frames that the timeline gave up"),
    _Shown("overloads", "encoder_overloads", "Times the encoder was slower than real time"),
    _Shown("encoder_restarts_by_reason", "encoder_restarts", "Replaced ffmpeg children", "reason"),
    _Shown("encoder_changes", "encoder_changes", "Times another encoder took over", "reason"),
    _Shown("blocked", "blocked", "Times the stream could not write its files", "kind"),
    _Shown("refused_by_rule", "refused", "Media not published: would break that rule", "rule"),
)
GAUGES = (
    _Shown("encode_lag_seconds", "encode_lag_seconds", "Frame handed over to part out", "stat"),
    _Shown("av_skew_seconds", "av_skew_seconds", "Picture out of the encoder ahead of its sound"),
    _Shown("av_offset_seconds", "av_offset_seconds", "Lip sync: 0 is right, either way"),
    _Shown("media_seconds", "media_seconds", "Media time published"),
    _Shown("disk_bytes", "tmpfs_bytes", "Bytes of the stream's files"),
    _Shown("disk_bound_bytes", "tmpfs_bound_bytes", "The most they may grow to"),
    _Shown("at", "figures_time_seconds", "When the encoder process last told, since 1970"),
)
LIVE_METRICS = (
    ("live_speech_seconds", "heard", "Sound of live speakers that was said"),
    ("live_speech_underruns", "underruns", "Gaps in it, because sound came too late"),
    ("live_speech_silent_seconds", "silent", "Length of these gaps"),
    ("live_speech_dropped_seconds", "dropped", "Sound of live speakers that came too late"),
)
# Of the sources that tell of themselves.
OF_SOURCES = (
    _Shown("face", "face", "What a talking head does for its pictures, and how busy it is", "of"),
    _Shown("device_up", "device_up", "Whether a camera or microphone gives anything", "device"),
)
COUNTED_OF_SOURCES = (
    _Shown("device_losses", "device_losses", "Times a camera or microphone was lost", "device"),
)
PREFIX = "lipstream_"


class ServiceCollector(Collector):
    """Reads everything at scrape time.

    Args:
        table: of the web processes.
        media_root: with the folders ``live`` and ``run``.
    """

    def __init__(self, table: Table, media_root: Path) -> None:
        self._table = table
        self._root = media_root

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: else it would be collected once just to be registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        streams = list_streams(self._root)
        yield from stream_metrics(streams)
        yield from edge_metrics(
            {name: live_edge_age(self._root, figures) for name, figures in streams.items()},
            {name: oldest_ready_seconds(figures) for name, figures in streams.items()},
        )
        roster = read_roster(self._root / RUN / ROSTER)
        # One that an older supervisor wrote knows of no shared process.
        yield from process_metrics(streams, [*roster["web"], *roster.get("shared", ())])
        yield from web_metrics(self._table.sums())
        yield from room_metrics(self._root)


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The page and its type, in the format that the asker's Accept header prefers."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def stream_metrics(streams: Mapping[str, Figures]) -> Iterator[Metric]:
    """What the encoder processes and the sources told."""
    counted = (*COUNTERS, *COUNTED_OF_SOURCES)
    for shown in (*counted, *GAUGES, *OF_SOURCES):
        family = CounterMetricFamily if shown in counted else GaugeMetricFamily
        labels = ["stream", shown.label] if shown.label else ["stream"]
        metric = family(PREFIX + shown.name, shown.text, labels=labels)
        for stream, figures in streams.items():
            for values, value in shown.samples(stream, figures):
                metric.add_metric(values, value)
        yield metric
    info = GaugeMetricFamily(
        PREFIX + "stream", "Always 1: what a stream is", labels=["stream", "state", "encoder"]
    )
    for stream, figures in streams.items():
        info.add_metric((stream, figures["state"], figures.get("encoder", "")), 1)
    yield info


def edge_metrics(
    ages: Mapping[str, float | None], limits: Mapping[str, float | None]
) -> Iterator[Metric]:
    """How old the newest media of each live stream is, and may be."""
    for name, text, values in (
        ("live_edge_age_seconds", "Age of the newest media of a live stream", ages),
        ("live_edge_limit_seconds", "How old it may be: three part targets", limits),
    ):
        metric = GaugeMetricFamily(PREFIX + name, text, labels=["stream"])
        for stream, value in values.items():
            if value is not None and limits[stream] is not None:
                metric.add_metric((stream,), value)
        yield metric


def process_metrics(
    streams: Mapping[str, Figures], common: Iterable[Mapping[str, Any]]
) -> Iterator[Metric]:
    """What the supervisor told of its children; those of all streams have an empty stream."""
    restarts = CounterMetricFamily(
        PREFIX + "process_restarts",
        "Ends of a process that nobody wished",
        labels=["stream", "process", "reason"],
    )
    running = GaugeMetricFamily(
        PREFIX + "process_running", "Whether it runs", labels=["stream", "process"]
    )
    rows = [(name, p) for name, figures in streams.items() for p in figures.get("processes", ())]
    for stream, process in [*rows, *(("", p) for p in common)]:
        running.add_metric((stream, process["name"]), float(process["pid"] is not None))
        for reason, times in process["restarts"].items():
            restarts.add_metric((stream, process["name"], reason), times)
    yield restarts
    yield running


def web_metrics(sums: Sums) -> Iterator[Metric]:
    """What the web processes counted, all together."""
    requests = CounterMetricFamily(
        PREFIX + "requests", "Requests answered", labels=["kind", "status"]
    )
    seconds = HistogramMetricFamily(
        PREFIX + "request_seconds",
        "From the request to its answer's first byte, the wait for media included",
        labels=["kind"],
    )
    body_bytes = CounterMetricFamily(
        PREFIX + "answer_bytes", "Bytes of answers, headers not included", labels=["kind"]
    )
    for kind in KINDS:
        for status in STATUSES:
            requests.add_metric((kind, status), sums.status(kind, status))
        seconds.add_metric((kind,), sums.buckets(kind), sums.seconds(kind))
        body_bytes.add_metric((kind,), sums.body_bytes(kind))
    ways = CounterMetricFamily(PREFIX + "answers", "Where answers came from", labels=["way"])
    for way in WAYS:
        ways.add_metric((way,), sums.way(way))
    for name, figure, text in LIVE_METRICS:
        counter = CounterMetricFamily(PREFIX + name, text)
        counter.add_metric((), sums.live(figure))
        yield counter
    held = GaugeMetricFamily(PREFIX + "held_requests", "Requests that wait for their answer")
    held.add_metric((), sums.held)
    yield from (requests, seconds, body_bytes, ways, held)


def room_metrics(media_root: Path) -> Iterator[Metric]:
    """The file system of the media root; nothing while there is none (no supervisor runs)."""
    try:
        room = os.statvfs(media_root)
    except OSError:
        return
    for name, text, blocks in (
        ("media_root_size_bytes", "Size of the media root's file system", room.f_blocks),
        ("media_root_free_bytes", "Room left there", room.f_bavail),
    ):
        yield GaugeMetricFamily(PREFIX + name, text, value=blocks * room.f_frsize)
