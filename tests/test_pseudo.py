"""Pseudo data: nothing that dev or test holds may come into training, whichever way it tries."""

import re
from pathlib import Path

import pytest
from conftest import run_tool

from comsl.corpora import kaldi, pseudo
from comsl.corpora.held_out import leave_out, read_known
from comsl.corpora.text import letters
from comsl.errors import DataError

TRAIN = {"fr_a-1": ("La porte reste ouverte la nuit.", "The door stays open at night.")}
DEV = {"fr_a-2": ("Le train part à huit heures.", "The train leaves at eight o'clock.")}
TEST = {"fr_a-3": ("Nous mangeons du pain frais.", "We are eating fresh bread.")}
FRESH = {"fr_b-1": "Il pleut.", "fr_b-2": "Il gatto dorme sulla sedia."}
LEAKS = {
    "fr_a-1": ("Ouvrez la porte.", "the same utterance is in train"),
    "fr_a-2": ("Le chat dort.", "the same utterance is in dev"),
    "fr_a-3": ("Le chien aussi.", "the same utterance is in test"),
    "fr_c-1": ("le train, part à huit heures", "the same transcript is in dev"),
    "fr_c-2": ("NOUS  MANGEONS DU PAIN FRAIS", "the same transcript is in test"),
    "fr_c-3": ("On mange du pain.", "its translation is a reference of test: We are eating"),
    "fr_c-4": ("Le train de huit heures.", "its translation is a reference of dev: the train"),
    "fr_c-5": ("Rien.", "its translation: empty text"),
    "fr_c-6": ("Encore.", "200 tokens, more than 128"),
}
TRANSLATIONS = {
    "On mange du pain.": "We are eating fresh bread",
    "Le train de huit heures.": "the train leaves at eight o' clock!",
    "Rien.": "...",
    "Encore.": "again " * 200,
}


def write_set(folder: Path, texts: dict[str, tuple[str, ...]]) -> None:
    """A French set of these transcripts and, where given, translations."""
    audio = folder.parent / "a.flac"
    audio.parent.mkdir(parents=True, exist_ok=True)
    audio.touch()
    tables = {
        "wav.scp": dict.fromkeys(texts, str(audio)),
        "utt2spk": {key: key[:4] for key in texts},
        "utt2dur": dict.fromkeys(texts, "1.0"),
        "utt2lang": dict.fromkeys(texts, "fr"),
        "text.src": {key: text[0] for key, text in texts.items()},
    }
    if all(len(text) == 2 for text in texts.values()):
        tables["text.tgt"] = {key: text[1] for key, text in texts.items()}
    kaldi.write_dir(folder, tables)


@pytest.fixture
def raw(tmp_path) -> Path:
    for name, texts in {"train": TRAIN, "dev": DEV, "test": TEST}.items():
        write_set(tmp_path / name, texts)
    sources = FRESH | {key: text for key, (text, _) in LEAKS.items()}
    write_set(tmp_path / "untranslated", {key: (text,) for key, text in sources.items()})
    return tmp_path


def translate(texts: list[str], langs: list[str], targets: list[str]) -> list[str]:
    assert set(langs) == {"fr"}
    assert set(targets) == {"en"}
    return [TRANSLATIONS.get(text, f"Translation of {text}") for text in texts]


def count_words(texts: list[str], langs: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_what_is_in_dev_or_test_is_left_out_with_the_reason(raw):
    tables = kaldi.read_dir(raw / "untranslated")
    whole, dropped = pseudo.make_pseudo(
        tables, read_known(raw / "train", "dev test"), translate, count_words, "en"
    )
    assert whole["text.tgt"] == {key: f"Translation of {text}" for key, text in FRESH.items()}
    assert all(table.keys() == FRESH.keys() for table in whole.values())
    reasons = {item.utterance: item.reason for item in dropped}
    assert reasons.keys() == LEAKS.keys()
    for utterance, (_, reason) in LEAKS.items():
        assert reasons[utterance].startswith(reason)


def test_where_targets_differ_each_translation_is_in_its_own(raw):
    tables = kaldi.read_dir(raw / "untranslated")
    keys = sorted(FRESH)
    tables = {field: {key: table[key] for key in keys} for field, table in tables.items()}
    tables["utt2target"] = {key: ("de", "en")[number % 2] for number, key in enumerate(keys)}
    whole, dropped = pseudo.make_pseudo(
        tables,
        read_known(raw / "train", "dev test"),
        lambda texts, langs, targets: list(map(": ".join, zip(targets, texts, strict=True))),
        count_words,
        "en",
    )
    assert not dropped
    for key, target in whole["utt2target"].items():
        assert whole["text.tgt"][key] == f"{target}: {FRESH[key]}"


def test_sentences_are_compared_without_case_punctuation_and_spaces():
    assert letters("O’Clock, 8!") == letters("o'clock 8")
    assert letters("你好，世界。") == letters("你好世界")
    assert letters("பேசு") != letters("பசி")  # vowel signs count
    assert letters("où") != letters("ou")


def test_nothing_left_or_nothing_to_compare_with(raw):
    known = read_known(raw / "train", "dev test")
    with pytest.raises(DataError, match=r"no utterance is left: fr_a-2 \(the same .* in dev\)"):
        leave_out(kaldi.read_dir(raw / "dev"), known)
    (raw / "test").rename(raw / "elsewhere")
    with pytest.raises(DataError, match="test: no such directory"):
        read_known(raw / "train", "dev test")


def shared(one: Path, other: Path) -> set[str]:
    """Utterances and sentences, letters alone, that are in both sets."""
    sides = []
    for folder in (one, other):
        tables = [kaldi.read_table(path) for path in folder.glob("text.*")]
        texts = (text for table in tables for text in table.values())
        plain = {re.sub(r"\W+", "", text).lower() for text in texts}
        sides.append(plain | {key for table in tables for key in table})
    return sides[0] & sides[1]


def test_the_tools_of_stage_4(raw, language_model):
    """A set translated by a real (untrained) model, put together with the training set. Then one
    of the translations is made a test reference: it may not occur any more."""
    command = ("translate_text", "--model", language_model, "--raw", raw, "--data")
    done = run_tool(*command, raw / "untranslated", "--out", raw / "untranslated_pseudo")
    assert kaldi.validate_dir(raw / "untranslated_pseudo") >= 2
    assert re.search(r"[1-9]\d* utterances, [5-9] left out \(dropped.tsv\)", done.stderr)
    first = kaldi.read_table(raw / "untranslated_pseudo" / "text.tgt")
    run_tool("combine_sets", "--out", raw / "both", raw / "train", raw / "untranslated_pseudo")
    assert kaldi.validate_dir(raw / "both") == len(TRAIN) + len(first)
    assert shared(raw / "both", raw / "dev") == shared(raw / "both", raw / "test") == set()
    assert len(shared(raw / "untranslated", raw / "dev")) == 2  # planted: an id, a sentence

    leak = first["fr_b-1"]
    write_set(raw / "test", TEST | {"fr_z-1": ("Autre chose.", leak.upper())})
    run_tool(*command, raw / "untranslated", "--out", raw / "untranslated_pseudo")
    second = kaldi.read_table(raw / "untranslated_pseudo" / "text.tgt")
    assert second == {key: text for key, text in first.items() if text != leak}
    assert f"reference of test: {leak}" in (raw / "untranslated_pseudo" / "dropped.tsv").read_text(
        "utf-8"
    )


def test_bad_input_of_the_tools(raw):
    missing = ("--data", raw / "none", "--out", raw / "out")
    failed = run_tool("translate_text", "--model", raw, "--raw", raw, *missing, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"error: {raw}/none")
    failed = run_tool(
        "combine_sets", "--out", raw / "out", raw / "train", raw / "untranslated", check=False
    )
    assert failed.stderr == (
        f"error: {raw}/untranslated and {raw}/train: only one of them has text.tgt\n"
    )
    assert not (raw / "out").exists()


def test_further_sets_repeat_nothing_of_dev_and_test(raw):
    """Whatever the test set is called, and whichever of the two languages gives a leak away."""
    (raw / "test").rename(raw / "tst-COMMON")
    write_set(
        raw / "spoken",
        {
            "fr_s-1": ("Il pleut.", "It is raining."),
            "fr_s-2": ("Le train part à huit heures", "Something else."),
            "fr_s-3": ("Autre chose.", "we are eating FRESH bread"),
            "fr_a-1": ("La porte.", "The door."),
        },
    )
    options = ("--held_out", "dev tst-COMMON tst-HE", "--out", raw / "both", raw / "train")
    done = run_tool("combine_sets", *options, raw / "spoken")
    assert done.stdout.endswith("2 utterances\n3 left out, see repeated.tsv\n")
    assert kaldi.read_table(raw / "both/text.src").keys() == {"fr_a-1", "fr_s-1"}
    reasons = (raw / "both/repeated.tsv").read_text("utf-8")
    assert "fr_s-2\tfr\tthe same transcript is in dev\n" in reasons
    assert "fr_s-3\tfr\tits translation is a reference of tst-COMMON: we are" in reasons
    assert "fr_a-1\tfr\tthe same utterance is in train\n" in reasons
    done = run_tool("combine_sets", *options, raw / "tst-COMMON", check=False)
    assert done.returncode == 1
    assert "tst-COMMON: no utterance is left: fr_a-3 (the same utterance is in tst-" in done.stderr


def test_text_pairs_repeat_nothing_of_dev_and_test(raw):
    fresh = ("x", "we are eating FRESH bread")
    write_set(raw / "texts", {"fr_t-1": ("Il pleut.", "It is raining."), "fr_t-2": fresh})
    options = ("--pairs", raw / "texts", "--raw", raw, "--held_out", "dev test")
    done = run_tool("prepare_text_pairs", *options, "--out", raw / "text")
    assert done.stdout.endswith("text: 1 sentence pairs; 1 left out, see repeated.tsv\n")
    assert kaldi.read_table(raw / "text/text.src") == {"fr_t-1": "Il pleut."}
