"""Long recordings: what is speech in them, where it is cut, what is said of it and when."""

from itertools import pairwise

import numpy as np
import pytest
from real_speech import digits, prompts

from comsl.corpora.loudness import SILENCE, levels
from comsl.corpora.samples import RATE
from comsl.errors import DataError
from comsl.recordings import segmentation
from comsl.recordings.segmentation import cut
from comsl.recordings.translation import translate_recordings


class Lengths:
    """A system that says how many samples it hears, and in which language."""

    languages, target_lang, longest = ("fr", "it"), "en", 16.0

    def __init__(self):
        self.batches = []

    def generate(self, task, waves, langs, **search):
        self.batches.append(len(waves))
        return [f"{len(wave)} {lang}" for wave, lang in zip(waves, langs, strict=True)]

    def detect(self, waves, languages):
        assert all(0 < len(wave) <= 30 * RATE for wave in waves)
        return [languages[len(wave) % 2] for wave in waves]


@pytest.mark.parametrize("first", [0.0, 0.4, 3.0])
@pytest.mark.parametrize("seconds", [28.9, 30.3, 45.0, 95.7])
def test_no_speech_is_lost_between_pieces_of_the_greatest_length(monkeypatch, first, seconds):
    """Somebody speaks without a pause, and least clearly where a piece must end. Samples are their
    own numbers, so that pieces tell which they hold."""
    frames = round((first + seconds + 3) * segmentation.SECOND)
    start, end = (round(time * segmentation.SECOND) for time in (first, first + seconds))
    probabilities = np.zeros(frames, np.float32)
    probabilities[start:end] = 0.9
    dip = start + round(29.75 * segmentation.SECOND)
    probabilities[dip : min(dip + segmentation.DIP, end)] = segmentation.GOES_ON + 0.05
    samples = np.arange(1, frames * segmentation.FRAME + 1, dtype=np.float32)
    monkeypatch.setattr(segmentation, "speech_probabilities", lambda _: [(samples, probabilities)])
    pieces = [piece.samples for piece in cut([], longest=30.0)]
    assert all(len(piece) <= 30 * RATE for piece in pieces)
    heard = np.concatenate(pieces)
    wanted = samples[start * segmentation.FRAME : end * segmentation.FRAME]
    assert np.isin(wanted, heard).all()


def tones(seconds: float) -> np.ndarray:
    """Chords (T,), one a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    roots = 220 * 2 ** (np.array([0, 5, 7, 3, 8])[time.astype(int) % 5] / 12)
    phase = 2 * np.pi * np.cumsum(roots) / RATE
    return (0.05 * sum(np.sin(phase * ratio) for ratio in (1, 1.25, 1.5))).astype(np.float32)


def trimmed(wave: np.ndarray) -> np.ndarray:
    """Without silence before and after."""
    heard = np.flatnonzero(levels(wave, 160) > SILENCE)
    return wave[160 * heard[0] : 160 * (heard[-1] + 1)]


@pytest.fixture(scope="module")
def recording() -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Prompts with silence, noise or music around them (T,), and where in seconds each is."""
    noise = np.random.default_rng(0).normal(size=60 * RATE).astype(np.float32)
    hiss = 10 ** (-50 / 20) * noise[: 5 * RATE]
    gaps = [np.zeros(60 * RATE, np.float32), 10 ** (-80 / 20) * noise, tones(8), hiss]
    parts, places = [gaps[0][: RATE // 2]], []
    for prompt, gap in zip(map(trimmed, prompts()), gaps, strict=False):
        start = sum(map(len, parts)) / RATE
        places.append((start, start + len(prompt) / RATE))
        parts += [prompt, gap]
    return np.concatenate(parts), places


def test_speech_alone_is_found_where_it_is(recording):
    """Silence, noise and music are in no piece."""
    wave, places = recording
    pieces = list(cut([wave], 16.0))
    assert len(pieces) == len(places)
    for piece, (start, end) in zip(pieces, places, strict=True):
        assert abs(piece.start - start) < 0.3
        assert abs(piece.end - end) < 0.3
        assert piece.end - piece.start <= len(piece.samples) / RATE <= 16
    for piece in pieces[1:-1]:  # little of what is around
        assert len(piece.samples) / RATE < piece.end - piece.start + 0.6
    for gap in (wave[10 * RATE : 60 * RATE], tones(20), wave[:0]):
        assert not list(cut([gap], 16.0))


def test_the_pieces_are_the_same_in_whatever_blocks_the_audio_comes(recording):
    wave, _ = recording
    wave = wave[60 * RATE :]
    expected = list(cut([wave], 6.0))
    for size in (1000, 30 * RATE):
        blocks = (wave[start : start + size] for start in range(0, len(wave), size))
        for found, piece in zip(cut(blocks, 6.0), expected, strict=True):
            assert (found.start, found.end) == (piece.start, piece.end)
            assert np.array_equal(found.samples, piece.samples)


def test_a_clip_is_heard_whole_and_a_long_speech_is_cut_in_its_dips():
    for prompt in [*prompts()[:2], *digits()]:
        (piece,) = cut([prompt], len(prompt) / RATE)
        assert np.array_equal(piece.samples, prompt)
    speech = np.concatenate(digits() * 3)
    pieces = list(cut([speech], 4.0))
    assert len(pieces) > len(speech) / (4 * RATE)
    assert all(len(piece.samples) <= 4 * RATE for piece in pieces)
    # Nothing is lost, and nothing is heard twice.
    assert sum(len(piece.samples) for piece in pieces) >= 0.97 * len(speech)
    assert all(first.end <= second.start for first, second in pairwise(pieces))
    assert np.array_equal(pieces[0].samples, speech[: len(pieces[0].samples)])


def test_recordings_share_batches_and_spare_each_other(recording, tmp_path):
    """Each gives what it gives alone; what can't be heard says so; languages are found out."""
    wave, places = recording
    bad = tmp_path / "absent.wav"
    sources = [
        (wave, RATE),
        bad,
        (np.zeros(3 * RATE), RATE),
        (prompts()[4], RATE),
        (wave[:0], RATE),
    ]
    system = Lengths()
    together = list(translate_recordings(system, sources, detector=system))
    assert system.batches == [len(places) + 1]
    for source, found in zip(sources, together, strict=True):
        (alone,) = translate_recordings(system, [source], detector=system)
        assert alone.segments == found.segments
        assert alone.src_lang == found.src_lang
    first, absent, silent, other, empty = together
    starts = [segment.start for segment in first.segments]
    assert starts == pytest.approx([start for start, _ in places], abs=0.3)
    assert first.seconds == pytest.approx(len(wave) / RATE)
    assert first.text == " ".join(segment.text for segment in first.segments)
    assert all(segment.text.endswith(first.src_lang) for segment in first.segments)
    assert str(absent.error) == f"no audio file '{bad}'"
    assert (silent.text, silent.src_lang, silent.error) == ("", None, None)
    assert other.detected
    assert other.lang == "en"
    assert "is empty" in str(empty.error)
    (told,) = translate_recordings(system, sources[:1], "it", "asr")
    assert (told.src_lang, told.detected, told.lang) == ("it", False, "it")


def test_a_language_has_to_be_known():
    source = [(prompts()[0], RATE)]
    for options, complaint in (
        (("xx",), "unknown language code 'xx'"),
        (("ru",), "'ru' isn't one of the model's: fr it"),
        ((None,), "which language is spoken"),
    ):
        with pytest.raises(DataError, match=complaint):
            list(translate_recordings(Lengths(), source, *options))
