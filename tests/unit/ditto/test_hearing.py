"""Which sound is heard for which frame."""

from __future__ import annotations

import numpy as np
import pytest

from inference.ditto.errors import DittoRefused
from inference.ditto.hearing import Chunks, features, frame_count, group_features, row_count
from inference.ditto.layout import Floats
from inference.ditto.networks import Networks


def mean_of_each_row(samples: Floats) -> Floats:
    """A network that says the mean of the samples that a row begins with."""
    rows = [samples[320 * i : 320 * i + 320].mean() for i in range(row_count(len(samples)))]
    return np.repeat(np.array(rows, np.float32)[:, None], 1024, axis=1)


def ramp(frames: int) -> Floats:
    """Samples that say the number of their frame."""
    return np.repeat(np.arange(frames, dtype=np.float32) / 1000, 640)


@pytest.mark.facts
@pytest.mark.parametrize(("samples", "rows"), [(3240, 9), (6480, 20), (12_960, 40)])
def test_rows_of_the_speech_network(samples: int, rows: int, networks: Networks) -> None:
    assert row_count(samples) == rows
    assert networks.hear(np.zeros(samples, np.float32)).shape == (rows, 1024)


@pytest.mark.facts
def test_the_published_window() -> None:
    chunks = Chunks(3, 5, 2)
    assert (chunks.window, chunks.hop, chunks.reach) == (6480, 3200, 1360)  # 85 ms of reach
    assert chunks.span(0) == (-1920, 4560)
    assert chunks.span(7) == (3200 * 7 - 1920, 3200 * 7 + 4560)


@pytest.mark.facts
def test_the_rows_of_the_group_are_kept() -> None:
    rows = np.repeat(np.arange(20, dtype=np.float32)[:, None], 1024, axis=1)
    kept = group_features(np.zeros(6480, np.float32), Chunks(), lambda _samples: rows)
    assert kept.shape == (5, 1024)
    assert kept[:, 0].tolist() == [6.5, 8.5, 10.5, 12.5, 14.5]  # rows [-14:-4], two by two


@pytest.mark.facts
@pytest.mark.parametrize("config", ["3,5,2", "2,3,2", "0,5,0", "5,10,5", "1,4,2"])
def test_each_frame_gets_its_own_sound(config: str) -> None:
    heard = features(ramp(33), Chunks.parse(config), mean_of_each_row)
    assert heard[:, 0] == pytest.approx(np.arange(33) / 1000, abs=1e-6)


def test_the_networks_of_the_checkpoint_hear_the_same(networks: Networks) -> None:
    heard = features(ramp(12), Chunks(), networks.hear)
    assert heard[:, 0] == pytest.approx(np.arange(12) / 1000, abs=1e-6)


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (640, 1), (641, 2), (11_200, 18)])
def test_a_frame_for_every_begun_640_samples(samples: int, frames: int) -> None:
    assert frame_count(samples) == frames
    assert len(features(np.zeros(samples, np.float32), Chunks(), mean_of_each_row)) == frames


@pytest.mark.parametrize("config", ["3,5", "a,b,c", "3,0,2", "-1,5,2", "1,2,1", "9,9,9"])
def test_chunks_that_the_network_cannot_hear_are_refused(config: str) -> None:
    with pytest.raises(DittoRefused, match="chunk_config"):
        Chunks.parse(config)


def test_a_network_of_another_kind_is_found_out(networks: Networks) -> None:
    class Short:
        name, inputs, outputs = "hubert", (), ()

        def run(self, _feeds: object, hold: object = ()) -> dict[str, Floats]:
            return {"encoding_out": np.zeros((19, 1024), np.float32)}

        def release(self) -> None:
            """Nothing is held."""

    wrong = Networks({**networks.by_name, "hubert": Short()})  # type: ignore[dict-item]
    with pytest.raises(DittoRefused, match="gave 19 rows for 6480 samples, 20 are right"):
        wrong.hear(np.zeros(6480, np.float32))
