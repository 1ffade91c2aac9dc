"""Alignments against recordings whose boundaries are known: single words, joined."""

from multiprocessing import get_context

import numpy as np
import pytest
import torch
from conftest import run_tool
from miniature_covost2 import SENTENCES
from real_speech import DIGITS, count
from torch.nn.utils.rnn import pad_sequence

from comsl.corpora.kaldi import write_dir
from comsl.corpora.synthesis import speak
from comsl.encoders.whisper import WhisperEncoder
from comsl.errors import DataError
from comsl.evaluation.word_alignment import Word, WordAligner, read_ctm, write_ctm
from comsl.model.adapter import Adapter
from comsl.model.objectives.alignment import align, ctc, number_words
from comsl.sequences import Sequences

FRAME = 0.08  # seconds of an adapter's frame
ENCODER = {"n_mels": 80, "n_ctx": 1500, "n_state": 64, "n_head": 2, "n_layer": 0}
BLANK, CODE, END = 0, 30, 31


def train_ctc(waves: list, x: Sequences, steps: int) -> Sequences:
    """Log-probabilities (B, T', 32) of a small system after some steps of training on these very
    utterances; it sees a quarter of a second at a time."""
    torch.manual_seed(0)
    speech = pad_sequence([torch.from_numpy(wave) for wave in waves], batch_first=True)
    samples = torch.tensor([len(wave) for wave in waves])
    encoder = WhisperEncoder(dims=ENCODER, silence=0.0)
    mel = encoder.log_mel(speech, samples.tolist())
    encoder.log_mel = lambda *_: mel  # once is enough
    system = torch.nn.ModuleList([encoder, Adapter(64, 64, dropout=0.0), torch.nn.Linear(64, 32)])
    optimizer = torch.optim.AdamW(system.parameters(), lr=5e-3)
    for _ in range(steps):
        states, lengths, _ = encoder(speech, samples)
        frames = system[1](Sequences(states, lengths))
        log_p = Sequences(system[2](frames.values).log_softmax(-1), frames.lengths)
        optimizer.zero_grad()
        (ctc(log_p, x, BLANK) / len(waves)).backward()
        torch.nn.utils.clip_grad_norm_(system.parameters(), 5.0)
        optimizer.step()
    return Sequences(log_p.values.detach(), log_p.lengths)


def test_ctc_finds_the_boundaries_of_words():
    """Words of two tokens each. CTC emits a token once it has heard enough of it: a word is found
    to start 0.14 s late on average (0.02 to 0.27 s), and its first frame is tolerated up to 0.4 s
    after it really starts, one frame before."""
    generator = np.random.default_rng(1)
    waves, truth = zip(*(count(generator, pause=0.3) for _ in range(40)), strict=True)
    rows = [
        [CODE, *(token for digit, *_ in words for token in (2 * digit + 1, 2 * digit + 2)), END]
        for words in truth
    ]
    x = Sequences(torch.tensor(rows), torch.full((40,), len(rows[0])))
    log_p = train_ctc(list(waves), x, steps=70)
    starts = (x.values % 2 == 1) & (x.values != END)
    found = number_words(x, starts).gather(1, align(log_p, x, BLANK))
    right = []
    for words, frames, length in zip(truth, found.numpy(), log_p.lengths.tolist(), strict=True):
        seconds = FRAME * np.arange(length)
        for number, (_, start, end) in enumerate(words, start=1):
            own = frames[:length] == number
            if number > 1:  # what comes before the first word belongs to it
                assert start - FRAME <= seconds[own][0] <= start + 0.4
            right.append(own[(seconds >= start) & (seconds < end)])
    assert np.concatenate(right).mean() > 0.75


@pytest.fixture(scope="module")
def aligner() -> WordAligner:
    return WordAligner("base")


@pytest.mark.parametrize("between", [" ", ", "])
def test_whisper_finds_the_words(aligner, between):
    """Of the speech that gets a word, most gets its own, with punctuation or without."""
    generator = np.random.default_rng(2)
    right = []
    for _ in range(3):
        wave, truth = count(generator, pause=0.3)
        text = between.join(DIGITS[digit] for digit, *_ in truth) + "."
        words = aligner.align(wave, text, "fr")
        assert "".join(word.text for word in words) == text.replace(" ", "")
        assert all(0 <= word.start <= word.end for word in words)
        spoken = [word for word in words if word.text[0].isalpha()]
        seconds = np.arange(0, len(wave) / 16000, 0.02)
        inside = [
            [(seconds >= start) & (seconds < end) for start, end in spans]
            for spans in (
                [(start, end) for _, start, end in truth],
                [(word.start, word.end) for word in spoken],
            )
        ]
        said, found = np.array(inside)
        both = said.any(0) & found.any(0)
        assert both.sum() > 0.5 * said.any(0).sum()
        right.append((said & found).any(0)[both])
    assert np.concatenate(right).mean() > 0.8


@pytest.mark.parametrize("lang", ["es", "fr", "ru"])
def test_whisper_agrees_with_the_synthesiser(aligner, lang):
    """Within a sentence of fluent speech, a word is found to start 0.1 s late on average."""
    texts = [text.strip('"') for text in SENTENCES[lang]]
    # espeak-ng's sound depends on what its process has said before.
    with get_context("spawn").Pool(1) as fresh:
        speeches = fresh.starmap(speak, [(text, lang) for text in texts])
    late = []
    for text, (wave, words) in zip(texts, speeches, strict=True):
        spoken = {text[first:last]: start for first, last, start in words}
        found = aligner.align(wave, text, lang)
        late += [word.start - spoken[word.text] for word in found if word.text in spoken]
    assert len(late) > 15
    assert min(late) > -0.1
    assert max(late) < 0.3
    assert np.mean(late) < 0.15


def test_a_text_longer_than_the_decoder_holds_has_no_words(aligner):
    assert aligner.align(np.zeros(16000, np.float32), "un deux " * 300, "fr") == []


def test_ctm_comes_back_as_it_was(tmp_path):
    words = {
        "fr_b-1": [Word("Il", 0.12, 0.3), Word("pleut", 0.3, 1.06), Word(".", 1.06, 1.06)],
        "fr_a-1": [Word("你", 0.0, 0.5)],
    }
    write_ctm(tmp_path / "words.ctm", words | {"fr_c-1": []})
    lines = (tmp_path / "words.ctm").read_text("utf-8").splitlines()
    assert lines[:2] == ["fr_a-1 1 0.00 0.50 你", "fr_b-1 1 0.12 0.18 Il"]
    again = read_ctm(tmp_path / "words.ctm")
    assert list(again) == ["fr_a-1", "fr_b-1"]
    for utterance, table in again.items():
        for word, expected in zip(table, words[utterance], strict=True):
            assert word.text == expected.text
            assert (word.start, word.end) == pytest.approx((expected.start, expected.end))


@pytest.mark.parametrize("line", ["fr_a 1 0.0 0.5", "fr_a 1 0.0 long Il", "fr_a 1 0 1 Il pleut"])
def test_a_bad_line_is_named(tmp_path, line):
    (tmp_path / "words.ctm").write_text(f"fr_a 1 0.0 0.5 Il\n{line}\n")
    with pytest.raises(DataError, match=r"words.ctm:2: not of the form"):
        read_ctm(tmp_path / "words.ctm")


def test_the_tool_aligns_a_set(tmp_path):
    import soundfile

    generator = np.random.default_rng(3)
    tables = {"wav.scp": {}, "text.src": {}}
    for name in ("fr_a-1", "fr_a-2"):
        wave, truth = count(generator, pause=0.2)
        soundfile.write(tmp_path / f"{name}.flac", wave, 16000)
        tables["wav.scp"][name] = str(tmp_path / f"{name}.flac")
        tables["text.src"][name] = " ".join(DIGITS[digit] for digit, *_ in truth)
    write_dir(tmp_path / "raw/test_fr", tables)
    command = ("align_words", "--raw", tmp_path / "raw", "--langs", "fr", "--out", tmp_path / "out")
    run_tool(*command)
    path = tmp_path / "out/test_fr/words.ctm"
    words = read_ctm(path)
    assert {key: " ".join(word.text for word in words[key]) for key in words} == tables["text.src"]
