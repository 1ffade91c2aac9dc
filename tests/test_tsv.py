"""A corpus of one's own, from one table: sets, stretches of recordings, faults, the recipe."""

import os
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, run_tool

from comsl.corpora import kaldi, tsv
from comsl.corpora.text import letters
from comsl.errors import DataError

HEADER = ["audio", "lang", "transcript", "translation", "split", "start", "end", "speaker"]


def tone(seconds: float, frequency: float, rate: int = 16000) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)


def write(path: Path, rows: list[list[str]], header: list[str] = HEADER) -> Path:
    lines = ["\t".join(row) for row in [header, *rows]]
    path.write_text("\r\n".join(lines) + "\r\n", "utf-8", newline="")
    return path


def prepare(table: Path, *langs: str, folds: int = 20, max_dropped: float = 0.0) -> Path:
    out = table.parent / "data"
    tsv.prepare(table, list(langs), "en", out, folds, 2, max_dropped)
    return out


def read(out: Path, field: str, sets: str = "*") -> dict[str, str]:
    paths = sorted(out.glob(f"{sets}/{field}"))
    return {key: value for path in paths for key, value in kaldi.read_table(path).items()}


def reasons(out: Path) -> dict[str, str]:
    lines = (out / "dropped.tsv").read_text("utf-8").splitlines()[1:]
    return {line.split("\t")[0]: line.split("\t")[2] for line in lines}


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """A folder with a.wav, and more of it as 0.wav, fr_a0.wav ..."""
    soundfile.write(tmp_path / "a.wav", tone(1, 440), 16000)
    for speaker in ("", "fr_a", "fr_b", "it_a", "it_b"):
        for n in range(120):
            (tmp_path / f"{speaker}{n}.wav").hardlink_to(tmp_path / "a.wav")
    return tmp_path


def plain_rows(count: int) -> list[list[str]]:
    """French and Italian of the same English, every sentence by two speakers, no split."""
    return [
        [f"{lang}_{speaker}{n}.wav", lang, f"{word} {n}", f"Sentence {n}.", "", "", "", ""]
        for n in range(count)
        for lang, word in (("fr", "Phrase"), ("it", "Frase"))
        for speaker in "ab"
    ]


def test_made_sets_share_no_sentence_whatever_the_order(audio: Path) -> None:
    rows = plain_rows(120)
    rows += [[f"{n}.wav", "fr", "Phrase 3 !", f"Other {n}.", "", "", "", ""] for n in range(40)]
    first = prepare(write(audio / "t.tsv", rows), "fr", "it", max_dropped=0.5)
    sets = {name: set(read(first, "text.src", f"{name}_*")) for name in ("train", "dev", "test")}
    home: dict[tuple[str, str], str] = {}
    for field in ("text.src", "text.tgt"):
        for name in sets:
            for text in read(first, field, f"{name}_*").values():
                assert home.setdefault((field, letters(text)), name) == name
    assert 8 <= len(sets["test"]) <= 50
    assert len(sets["train"]) > 300
    random.Random(0).shuffle(rows)
    again = prepare(write(audio / "t.tsv", rows), "fr", "it", max_dropped=0.5)
    assert {name: set(read(again, "text.src", f"{name}_*")) for name in sets} == sets


def test_a_test_pair_is_not_trained_on_in_the_other_direction(audio: Path) -> None:
    rows = [
        row
        for n in range(120)
        for row in (
            [f"fr_a{n}.wav", "fr", f"Phrase {n}.", f"Sentence {n}.", "", "", "", "", "en"],
            [f"it_a{n}.wav", "en", f"Sentence {n}.", f"Phrase {n}.", "", "", "", "", "fr"],
        )
    ]
    table, out = write(audio / "t.tsv", rows, [*HEADER, "target_lang"]), audio / "data"
    tsv.prepare(table, ["fr", "en"], "en fr", out, 8, 2, 1.0)
    held_out = {
        *read(out, "text.src", "test_*").values(),
        *read(out, "text.tgt", "test_*").values(),
    }
    trained = {
        *read(out, "text.src", "train_*").values(),
        *read(out, "text.tgt", "train_*").values(),
    }
    assert len(held_out) > 20
    assert len(trained) > 100
    assert not held_out & trained


def test_given_sets_stay_and_made_ones_avoid_them(audio: Path) -> None:
    rows = [
        [f"{n}.wav", "fr", text, english, split, "", "", ""]
        for n, (split, text, english) in enumerate(
            [
                ("test", "Un", "One"),
                ("dev", "Deux", "Two"),
                ("train", "Trois", "Three"),
                ("train", "Un", "A one"),
                ("", "Un", "One thing"),
                ("", "Autre", "two!"),
            ]
        )
    ]
    out = prepare(write(audio / "t.tsv", rows), "fr", folds=10**9, max_dropped=0.5)
    assert set(read(out, "text.tgt", "train_fr").values()) == {"Three", "A one"}
    assert sorted(reasons(out).values()) == [
        "would be in train, but dev has the same sentence",
        "would be in train, but test has the same sentence",
    ]


def test_stretches_are_cut_and_whole_files_stay(tmp_path: Path) -> None:
    """A stereo recording at 44.1 kHz: a second of 300 Hz, one of 600, one of 900."""
    whole = np.concatenate([tone(1, 300 * n, 44100) for n in (1, 2, 3)])
    soundfile.write(tmp_path / "talk.ogg", np.stack([whole, whole], axis=1), 44100)
    soundfile.write(tmp_path / "a b.wav", tone(1, 440), 16000)
    rows = [
        ["talk.ogg", "fr", "un", "one", "train", "0", "1", "Ann Lee"],
        ["talk.ogg", "fr", "deux", "two", "dev", "1.0", "2.0", "Ann Lee"],
        ["talk.ogg", "fr", "trois", "three", "train", "2", "", "Bo"],
        [str(tmp_path / "a b.wav"), "fr", "la", "a", "tst-COMMON", "", "", ""],
    ]
    out = prepare(write(tmp_path / "t.tsv", rows), "fr")
    for name, size in {"train": 2, "dev": 1, "tst-COMMON": 1}.items():
        assert kaldi.validate_dir(out / f"{name}_fr") == size
    texts, paths = read(out, "text.tgt"), read(out, "wav.scp")
    for utterance, frequency in {"one": 300, "two": 600, "three": 900, "a": 440}.items():
        (key,) = (key for key, text in texts.items() if text == utterance)
        samples, rate = soundfile.read(paths[key])
        assert (samples.ndim, rate) == (1, 16000)
        assert float(read(out, "utt2dur")[key]) == pytest.approx(len(samples) / rate, abs=0.01)
        assert len(samples) == pytest.approx(16000, abs=200)
        middle = np.abs(np.fft.rfft(samples[4000:12000]))
        assert np.argmax(middle) * 2 == pytest.approx(frequency, abs=4)
    assert str(tmp_path / "a b.wav") in paths.values()
    assert sorted(set(read(out, "utt2spk").values()))[:2] == ["fr_Ann_Lee", "fr_Bo"]


def test_rows_with_one_text_are_kept_apart(audio: Path) -> None:
    rows = plain_rows(60)
    rows += [
        ["1.wav", "fr", "Sans traduction", "", "", "", "", ""],
        ["2.wav", "fr", "", "No transcript", "train", "", "", ""],
        ["3.wav", "fr", "nan", "Nor here", "", "", "", ""],
    ]
    out = prepare(write(audio / "t.tsv", rows), "fr", "it")
    assert list(read(out, "text.src", "untranslated_fr").values()) == ["Sans traduction"]
    assert sorted(read(out, "text.tgt", "untranscribed_fr").values()) == [
        "No transcript",
        "Nor here",
    ]
    assert not (out / "untranscribed_fr" / "text.src").exists()
    counts = run_tool("validate_data", out).stdout
    assert f"{out}/untranscribed_fr: 2 utterances" in counts


def test_every_unusable_row_has_its_reason(audio: Path) -> None:
    soundfile.write(audio / "silent.wav", np.zeros(16000), 16000)
    soundfile.write(audio / "loud.wav", 32767 * tone(1, 440), 16000, "FLOAT")
    soundfile.write(audio / "nan.wav", [0.1, np.nan] * 8000, 16000, "FLOAT")
    (audio / "cut.wav").write_bytes((audio / "a.wav").read_bytes()[:16000])
    rows = [
        ["a.wav", "fr", "un", "one", "train", "", "", ""],
        ["a.wav", "fr", '"""deux"" fois"', "two", "dev", "0", "0.5", ""],
        ["a.wav", "fr", "trois", '"three"', "test", "0.5", "", ""],
        ["a.wav", "fr", "quatre", "four", "train", "0.5", "0.2", ""],
        ["a.wav", "fr", "cinq", "five", "train", "0.5", "3", ""],
        ["a.wav", "fr", "six", "six", "train", "0,5", "", ""],
        ["a.wav", "fr", "sept", "seven", "valid", "", "", ""],
        ["a.wav", "fr", "huit", "", "test", "", "", ""],
        ["a.wav", "fr", "", "", "train", "", "", ""],
        ["a.wav", "fr", "neuf", "nine", "train", "", "", ""],
        ["gone.wav", "fr", "dix", "ten", "train", "", "", ""],
        ["silent.wav", "fr", "onze", "eleven", "train", "", "", ""],
        ["", "fr", "douze", "twelve", "train", "", "", ""],
        ["1.wav", "fr", "treize\rdix", "thirteen", "train", "", "", ""],
        ["a.wav", "fr", "quatorze", "fourteen"],
        ["a.wav", "it", "quindici", "fifteen", "train", "", "", ""],
        ["./a.wav", "fr", "seize", "sixteen", "test", "", "", "someone else"],
        ["loud.wav", "fr", "dix-sept", "seventeen", "train", "", "", ""],
        ["nan.wav", "fr", "dix-huit", "eighteen", "train", "", "", ""],
        ["cut.wav", "fr", "dix-neuf", "nineteen", "train", "", "", ""],
        ["a.wav", "fr", "deux", "two", "dev", "0.0001", "0.5001", "someone else"],
        ["1.wav", "fr", "vingt\0", "twenty", "train", "", "", ""],
    ]
    out = prepare(write(audio / "t.tsv", rows), "fr", max_dropped=0.9)
    assert read(out, "text.src", "dev_fr").popitem()[1] == '"deux" fois'
    assert read(out, "text.tgt", "test_fr").popitem()[1] == "three"
    assert set(read(out, "text.src", "train_fr").values()) == {"un", "vingt"}
    found = list(reasons(out).items())
    for where, reason in [
        ("t.tsv:7", "'0,5' is not a time in seconds"),
        ("t.tsv:8", "split 'valid': it takes train, dev or test, or nothing"),
        ("t.tsv:9", "no translation, which test needs"),
        ("t.tsv:10", "neither transcript nor translation"),
        ("t.tsv:11", "the same audio as t.tsv:2"),
        ("t.tsv:14", "nothing in the column audio"),
        ("t.tsv:15", "a carriage return in a cell"),
        ("t.tsv:16", "4 columns, not 8"),
        ("t.tsv:18", "the same audio as t.tsv:2"),
        ("t.tsv:22", "the same audio as t.tsv:3"),
        ("fr_loud-", "no audio: samples up to 9830.1, of at most 1"),
        ("fr_nan-", "no audio: samples up to nan"),
        ("fr_cut-", "truncated audio: 0.50 s of 1.00 s"),
        ("fr_a-", "0.5 to 0.2 s of a recording of 1.00 s"),
        ("fr_a-", "0.5 to 3 s of a recording of 1.00 s"),
        ("fr_gone-", "no audio file"),
        ("fr_silent-", "silent audio"),
    ]:
        (item,) = (pair for pair in found if pair[0].startswith(where) and reason in pair[1])
        found.remove(item)
    assert not found


@pytest.mark.parametrize(
    ("header", "rows", "complaint"),
    [
        (["audio,lang,transcript"], [], "no column 'audio' in its header 'audio,lang,transcript'"),
        (["audio", "lang", "translation"], [], "no column 'transcript' in its header"),
        (['"audio"', *HEADER[1:]], [], "no column 'audio'.*separated by tabs, without quotes"),
        ([*HEADER, "lang"], [], "2 columns 'lang' in its header"),
        (["\r".join(HEADER)], [], r"t\.tsv:1: new-line character"),
        ([*HEADER, " speaker "], [], "2 columns 'speaker' in its header"),
        ([*HEADER[:4], "Split", *HEADER[5:]], [], "the column 'Split' is called 'split'"),
        (
            HEADER,
            [["a.wav", "fr-FR", "a", "b", "train", "", "", ""]],
            "no row with 'fr' in the column lang; there are 1 of 'fr-FR': correct",
        ),
        (
            [*HEADER, "target_lang"],
            [["a.wav", "fr", "a", "b", "train", "", "", "", "de"]],
            r"t\.tsv:2: 'de' in the column target_lang of a row in 'fr', but --target_lang is 'en'",
        ),
        (
            HEADER,
            [["a.wav", "fr", "a", "b", "train", "", "", ""], ["a.wav", "fr", '"one\nline', 'x"']],
            r"2 of 3 utterances can't be used.*t\.tsv:3 \(3 columns, not 8: a tab or line break",
        ),
        (HEADER, [["a.wav", "fr", "a", "b", "train", "", "", ""]], "no row for dev; fill the col"),
    ],
)  # fmt: skip
def test_a_bad_table_is_one_line(audio: Path, header, rows, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        prepare(write(audio / "t.tsv", rows, header), "fr")
    assert "\n" not in str(caught.value)
    assert not list(audio.glob("*data*"))


def test_nothing_is_lost_in_a_folder_that_is_not_stage_1s(audio: Path) -> None:
    table = write(audio / "t.tsv", plain_rows(60))
    elsewhere = audio.with_name("mine")
    elsewhere.mkdir()
    (elsewhere / "a recording.wav").touch()
    with pytest.raises(DataError, match="which did not make it"):
        tsv.prepare(table, ["fr"], "en", elsewhere, 20, 2, 0.0)
    assert (elsewhere / "a recording.wav").is_file()
    (audio / "dropped.tsv").touch()  # as if it were stage 1's
    with pytest.raises(DataError, match="has files of the corpus, and lies in"):
        tsv.prepare(table, ["fr"], "en", audio, 20, 2, 0.0)
    assert (audio / "fr_a0.wav").is_file()


def test_long_names_are_cut(audio: Path) -> None:
    name = "é" * 100
    (audio / "a.wav").rename(audio / f"{name}.wav")
    rows = [[f"{name}.wav", "fr", "un", "one", "test", "0", "0.5", name], *plain_rows(60)]
    out = prepare(write(audio / "t.tsv", rows), "fr")
    assert "one" in read(out, "text.tgt", "test_fr").values()


def test_wrong_options_end_in_one_line(audio: Path) -> None:
    for options, complaint in [
        (["--langs", "fr"], "nowhere.tsv: no such file"),
        (["--langs", "fr", "--folds", 2], "--folds 2: at least 3"),
        (["--langs", "fr", "--nj", 0], "--nj 0: at least one"),
    ]:
        done = run_tool("prepare_tsv", "--tsv", audio / "nowhere.tsv", *options, check=False)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert complaint in line


def test_the_recipe_takes_a_table_and_sees_when_it_changes(audio: Path) -> None:
    """Stages 1 and 2 as a user runs them; audio is given relative to the table."""
    table = write(audio / "my table.tsv", plain_rows(60))
    command = [
        *(str(ROOT / "egs2/tsv/comsl1/run.sh"), "--tsv", str(table), "--langs", "fr it"),
        *("--datadir", f"{audio}/data", "--dumpdir", f"{audio}/dump", "--expdir", f"{audio}/exp"),
        *("--stop_stage", "2", "--nj", "2"),
    ]

    def run() -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run()
    assert kaldi.validate_dir(audio / "dump/tsv/raw/train") > 100
    assert run().count("up to date") == 2
    write(table, [*plain_rows(60), ["a.wav", "fr", "De plus", "One more", "test", "", "", ""]])
    assert "up to date" not in run()
    assert "One more" in kaldi.read_table(audio / "dump/tsv/raw/test_fr/text.tgt").values()
