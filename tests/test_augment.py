"""Speech made to sound as over a telephone, in a room, with noise."""

import numpy as np
import pytest

from comsl.corpora import augment
from comsl.corpora.samples import RATE

DRAW = np.random.default_rng(0)


def tone(hertz: float, seconds: float = 0.5) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)


def power(samples: np.ndarray) -> float:
    return 10 * np.log10(np.square(samples).mean() + 1e-12)


@pytest.mark.parametrize("codec", augment.CODECS)
def test_a_telephone_keeps_its_band_and_the_length(codec):
    kept, *lost = (augment.call(tone(hertz), codec) for hertz in (1000, 100, 6000))
    assert len(kept) == len(tone(1000))
    assert power(kept) == pytest.approx(power(tone(1000)), abs=1.5)
    spectrum = np.abs(np.fft.rfft(kept)) ** 2
    assert spectrum.argmax() * 2 == pytest.approx(1000, abs=4)
    assert spectrum.max() > 0.5 * spectrum.sum()  # the tone, not noise
    assert all(power(one) < power(kept) - 20 for one in lost)


def test_noise_has_the_power_asked_for():
    clean = tone(440)
    noise = augment.add_noise(clean, 12.0, DRAW) - clean
    assert power(clean) - power(noise) == pytest.approx(12, abs=1e-6)


def test_echoes_follow_and_fall():
    click = np.zeros(RATE)
    click[1000] = 1
    wet = augment.reverberate(click, 0.4, 6.0, DRAW)
    assert np.abs(wet[:1000]).max() < 1e-12
    echoes = wet - click
    assert 10 * np.log10(np.square(echoes).sum()) == pytest.approx(-6, abs=1e-6)
    early, late = (np.square(echoes[at : at + 800]).mean() for at in (1000, 1000 + RATE // 5))
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=3)  # 60 dB in 0.4 s


def test_it_follows_from_the_name_and_stays_within_full_scale():
    clean = tone(440).astype(np.float32)
    made = [augment.augment(clean, f"utterance-{n}") for n in range(20)]
    again = augment.augment(clean, "utterance-3")
    assert np.array_equal(made[3], again)
    assert not np.array_equal(made[3], made[4])
    for one in made:
        assert one.dtype == np.float32
        assert len(one) == len(clean)
        assert 0.001 < np.abs(one).max() < 1.1
    assert len(augment.augment(clean[:3], "short")) == 3
