"""Synthetic speech: what the tool writes, and what goes wrong."""

import numpy as np
import pytest
from conftest import PAIRS, run_process, run_tool

from comsl.corpora.audio import read_audio
from comsl.corpora.kaldi import read_dir, validate_dir, write_dir
from comsl.corpora.synthesis import speak
from comsl.errors import DataError


@pytest.fixture
def pairs(tmp_path):
    for lang, sentences in PAIRS.items():
        ids = [f"{lang}-{number}" for number in range(len(sentences))]
        source, target = (
            dict(zip(ids, side, strict=True)) for side in zip(*sentences, strict=True)
        )
        write_dir(tmp_path / f"train_{lang}", {"text.src": source, "text.tgt": target})
    return tmp_path


def test_pairs_become_sets_that_stage_1_accepts(pairs):
    """Only of translations of the wanted length; the same whenever made."""
    command = ("speak_pairs", "--pairs", pairs, "--langs", "fr it", "--number", 2, "--min_words", 4)
    for part in "ab":  # in processes of their own: espeak-ng's noise goes on where it was
        done = run_process(*command, "--out", pairs / part)
        assert "spoken_fr: 2 utterances" in done.stdout
    for lang, sentences in PAIRS.items():
        assert validate_dir(pairs / f"a/spoken_{lang}") == 2
        made, again = (read_dir(pairs / part / f"spoken_{lang}") for part in "ab")
        for utterance, target in made["text.tgt"].items():
            assert (made["text.src"][utterance], target) in sentences
            assert len(target.split()) >= 4
            wave, rate = read_audio(made["wav.scp"][utterance])
            assert rate == 16000
            assert len(wave) / rate == pytest.approx(float(made["utt2dur"][utterance]), abs=1e-3)
            assert np.abs(wave).max() > 0.1
            assert np.array_equal(wave, read_audio(again["wav.scp"][utterance])[0])


def test_words_are_timed_and_slower_speech_is_longer():
    text = "Le chat dort sur la chaise."
    (fast, words), (slow, slow_words) = (speak(text, "fr", speed) for speed in (200, 100))
    assert [text[first:last] for first, last, _ in words] == text.strip(".").split()
    starts = np.array([[start for *_, start in table] for table in (words, slow_words)])
    assert (np.diff(starts) > 0).all()
    assert (starts[:, -1] < [len(fast) / 16000, len(slow) / 16000]).all()
    assert len(slow) > 1.5 * len(fast)


@pytest.mark.parametrize(
    ("langs", "number", "error"),
    [
        ("fr xx", 1, "unknown language code 'xx'"),
        ("fr ja", 1, "train_ja"),
        ("fr", 0, "--number 0"),
        ("fr", 9, "only 4"),
    ],
)
def test_bad_input(pairs, langs, number, error):
    command = ("speak_pairs", "--pairs", pairs, "--langs", langs, "--number", number)
    result = run_tool(*command, "--min_words", 1, "--out", pairs / "out", check=False)
    assert result.returncode == 1
    assert error in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (pairs / "out").exists()


def test_an_unknown_voice():
    with pytest.raises(DataError, match="no voice 'nobody'"):
        speak("Bonjour.", "nobody")
