"""Synthetic speech: what the tool writes, and what goes wrong."""

import sys
from threading import Event, Thread, active_count
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from conftest import PAIRS, run_process, run_tool

from comsl.corpora import spoken
from comsl.corpora.audio import read_audio
from comsl.corpora.kaldi import read_dir, read_table, validate_dir, write_dir, write_table
from comsl.corpora.kokoro import spell
from comsl.corpora.nearness import Nearness
from comsl.corpora.parallel_text import Pair
from comsl.corpora.pico import Pico
from comsl.corpora.samples import RATE
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


@pytest.mark.parametrize("engine", ["espeak", "pico"])
def test_pairs_become_sets_that_stage_1_accepts(pairs, engine):
    """Only of translations of the wanted length; the same whenever made."""
    if engine == "pico":
        pytest.importorskip("py_nanotts")
    command = ("speak_pairs", "--pairs", pairs, "--langs", "fr it", "--number", 2, "--min_words", 4)
    command += ("--engine", engine)
    for part in "ab":  # in processes of their own: espeak-ng's noise goes on where it was
        done = run_process(*command, "--out", pairs / part)
        assert "spoken_fr: 2 utterances" in done.stderr
    for lang, sentences in PAIRS.items():
        assert validate_dir(pairs / f"a/spoken_{lang}") == 2
        made, again = (read_dir(pairs / part / f"spoken_{lang}") for part in "ab")
        for utterance, target in made["text.tgt"].items():
            assert (made["text.src"][utterance], target) in sentences
            assert len(target.split()) >= 4
            wave = read_audio(made["wav.scp"][utterance])
            assert len(wave) / 16000 == pytest.approx(float(made["utt2dur"][utterance]), abs=1e-3)
            assert np.abs(wave).max() > 0.1
            assert np.array_equal(wave, read_audio(again["wav.scp"][utterance]))


class Wrapper(Thread):
    """As rhvoice_wrapper's TTS: its thread runs until it is joined."""

    def __init__(self, threads, quiet):
        super().__init__()
        self.open = Event()
        self.start()

    def run(self):
        self.open.wait()

    def get(self, text, **_):
        return np.full(24000, 2**14, "<i2").tobytes()

    def join(self):
        self.open.set()
        super().join()


@pytest.mark.parametrize(("number", "status"), [(1, 0), (2, 1)])
def test_rhvoice_ends_with_the_command(number, status, tmp_path, monkeypatch):
    """Whether it succeeds or fails, none of its threads keeps the process alive."""
    monkeypatch.setitem(sys.modules, "rhvoice_wrapper", SimpleNamespace(TTS=Wrapper))
    write_dir(tmp_path / "train_ru", {"text.src": {"a": "Да."}, "text.tgt": {"a": "Yes."}})
    threads = active_count()
    command = ("speak_pairs", "--pairs", tmp_path, "--langs", "ru", "--min_words", 1)
    command += ("--number", number, "--engine", "rhvoice", "--out", tmp_path / "out")
    assert run_tool(*command, check=False).returncode == status
    assert active_count() == threads


def test_pico_makes_several_speakers_of_one():
    """Lower and slower than its own voice is `man`, and a rate is a rate whatever the pitch."""
    pytest.importorskip("py_nanotts")
    pico, text = Pico(), "Le chat dort sur la chaise."
    own, slow, high = (pico.say(text, "fr-FR/own", *how) for how in ((1, 1), (0.8, 1), (1, 1.06)))
    assert len(slow) / len(own) == pytest.approx(1.25, rel=0.1)
    assert len(high) / len(own) == pytest.approx(1, rel=0.1)
    man = pico.say(text, "fr-FR/man", 1, 1)
    assert _centre(man) < _centre(own) < _centre(high)
    with pytest.raises(DataError, match="Pico doesn't speak 'ru'"):
        pico.voices("ru")


def _centre(wave):
    """Mean frequency of the spectrum, a measure of where the formants are."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return (power * np.arange(len(power))).sum() / power.sum() / len(wave)


def test_no_such_engine(pairs):
    command = ("speak_pairs", "--pairs", pairs, "--langs", "fr", "--out", pairs / "out")
    result = run_tool(*command, "--engine", "nobody", check=False)
    assert result.returncode == 1
    assert "no engine 'nobody'" in result.stderr
    assert not (pairs / "out").exists()


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


def test_a_stopped_synthesis_goes_on_and_lists_what_it_cannot_say(tmp_path):
    """The plan of the first run holds, whatever the pairs are now; what is said stays."""

    class Engine:
        name = "test"
        texts: ClassVar = []

        def say(self, text, *_):
            self.texts.append(text)
            if text == "Silence.":
                return np.zeros(RATE, np.float32)
            if text == stop_at:
                raise KeyboardInterrupt
            return np.ones(RATE, np.float32)

    path = tmp_path / "plan_fr.tsv"
    pairs = {str(n): Pair(text, "x") for n, text in enumerate(("Un.", "Silence.", "Deux."))}
    stop_at = "Deux."
    with pytest.raises(KeyboardInterrupt):
        spoken.speak({"fr": spoken.plan(path, "fr", ("a", "b"), pairs)}, Engine(), tmp_path)
    stop_at = ""
    other = dict.fromkeys(pairs, Pair("Trois.", "x"))
    lines = spoken.plan(path, "fr", ("a", "b", "c"), other)
    spoken.speak({"fr": lines}, Engine(), tmp_path)
    assert Engine.texts == ["Un.", "Silence.", "Deux.", "Silence.", "Deux."]
    assert {line.voice for line in lines} <= {"a", "b"}
    validate_dir(tmp_path / "spoken_fr")
    assert set(read_dir(tmp_path / "spoken_fr")["text.src"].values()) == {"Un.", "Deux."}
    assert "1\tfr\tnothing is heard" in (tmp_path / "dropped.tsv").read_text()


class Tones:
    """An engine that says a text as a tone as long as it."""

    name = "tones"

    def say(self, text, *_):
        return np.full(RATE * len(text.strip("_")), 0.5, np.float32)


def test_a_new_plan_says_anew_what_differs(tmp_path):
    """Whatever ids its pairs have: the audio is that of the text."""
    for texts in ({"0": "abc", "1": "ab"}, {"0": "a", "1": "ab"}):
        pairs = {key: Pair(text, "x") for key, text in texts.items()}
        path = tmp_path / "plan_fr.tsv"
        path.unlink(missing_ok=True)
        spoken.speak({"fr": spoken.plan(path, "fr", ("v",), pairs)}, Tones(), tmp_path)
        made = read_dir(tmp_path / "spoken_fr")
        for key, text in made["text.src"].items():
            assert len(read_audio(made["wav.scp"][key])) == RATE * len(text)


def test_an_old_plan_that_is_not_what_is_wanted_is_refused(tmp_path):
    path, pairs = tmp_path / "plan_fr.tsv", {"0": Pair("Un.", "One.")}
    spoken.plan(path, "fr", ("v",), pairs)
    with pytest.raises(DataError, match=r"plans 1 pairs, and 2 are wanted; remove it"):
        spoken.plan(path, "fr", ("v",), pairs | {"1": Pair("Deux.", "Two.")})
    with pytest.raises(DataError, match=r"'v' is none of the engine's voices; remove it"):
        spoken.plan(path, "fr", ("w",), pairs)


def test_a_language_of_which_nothing_is_heard_is_an_error(tmp_path):
    lines = spoken.plan(tmp_path / "plan_fr.tsv", "fr", ("v",), {"0": Pair("_", "x")})
    with pytest.raises(DataError, match=r"nothing could be said in 'fr'; see dropped.tsv"):
        spoken.speak({"fr": lines}, Tones(), tmp_path)
    assert "nothing is heard" in (tmp_path / "dropped.tsv").read_text()


ENGLISH = (
    "Please enter your code.",
    "Please enter the code again.",
    "The old cat sat on the hill.",
    "The old dog sat on the hill.",
    "A hen is no cow.",
)


def test_half_of_the_pairs_are_like_others(tmp_path):
    english = [f"The old {word} sat on the hill." for word in ("cat", "dog", "cow", "hen")]
    english += [
        "Please enter your code.",
        "Please enter the code again.",
        "See LibreOffice now.",
        "Label",
    ]
    table = {f"fr-{n}": text for n, text in enumerate(english)}
    write_dir(tmp_path / "fr", {"text.src": table, "text.tgt": table})
    chosen = spoken.choose(tmp_path / "fr", 4, (3, 9), near=["Please enter your code now."])
    assert sum("code" in text for _, text in chosen.values()) >= 2
    with pytest.raises(DataError, match="only 6 pairs of 3 to 9 words to say"):
        spoken.choose(tmp_path / "fr", 7, (3, 9))


def test_nearness_equals_its_formula():
    """Mean log p_near(w) / p_general(w), of each word and of each word after the one before."""
    nearness = Nearness(["press one"], ["press two now", "go now"])

    def general(word: str) -> float:
        return ({"now": 2, "press": 1, "two": 1, "go": 1}.get(word, 0) + 1) / (5 + 4 + 1)

    def near(word: str) -> float:
        return 0.7 * {"press": 1, "one": 1}.get(word, 0) / 2 + 0.3 * general(word)

    after = (0.5 * 1 + 0.5 * near("one")) / (0.5 * 0 + 0.5 * general("one"))  # press one
    ratios = near("press") / general("press"), near("one") / general("one"), after
    assert nearness("Press one!") == pytest.approx(np.log(ratios).mean())
    assert nearness("Go now.") < 0 < nearness("Press one!")
    assert nearness("") == 0


def test_the_nearest_of_every_language_with_their_states(tmp_path):
    texts = {f"{lang}-{n}": text for lang in ("es", "fr") for n, text in enumerate(ENGLISH)}
    empty = dict.fromkeys(texts, "")
    write_dir(
        tmp_path / "train",
        {"text.src": empty, "text.tgt": texts, "utt2lang": {key: key[:2] for key in texts}},
    )
    write_dir(tmp_path / "states/train", {"feats.scp": dict.fromkeys(texts, "x.ark:0")})
    write_table(tmp_path / "near", {"a": "Please enter your code now."})
    options = ["--near", tmp_path / "near", "--share", "0.4", "--name", "train_near"]
    run_tool("select_near", *options, tmp_path / "train", tmp_path / "states/train")
    near = read_table(tmp_path / "train_near/text.tgt")
    assert sorted(near) == ["es-0", "es-1", "fr-0", "fr-1"]
    assert read_table(tmp_path / "train_near/text.src", empty_ok=True) == dict.fromkeys(near, "")
    assert read_table(tmp_path / "states/train_near/feats.scp").keys() == near.keys()


def test_phonemes_as_kokoro_writes_them():
    assert spell("¿Qué hora es?", "es") == "¿kˈe ˈoɾa ˈes?"
    assert spell("La chiave, la città.", "it") == "la kjˈave, la ʧitːˈa."
    assert spell("palabra (y) otra", "es").split()[1] == "(i)"


def test_an_unknown_voice():
    with pytest.raises(DataError, match="no voice 'nobody'"):
        speak("Bonjour.", "nobody")
