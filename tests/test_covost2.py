"""CoVoST 2 in miniature, in the published layout and with its faults."""

import csv
import io
import os
import shutil
import subprocess
import sys
import tarfile
import unicodedata
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import soundfile
from conftest import ROOT, run_tool

from comsl.corpora import archives, common_voice, covost2, kaldi
from comsl.corpora.by_language import Output
from comsl.corpora.coverage import read_coverage
from comsl.corpora.dropped import Dropped, check_share
from comsl.errors import DataError
from comsl.languages import LANGUAGES

CLIENT = "0123456789abcdef" * 8
# path's number -> split, transcript as Common Voice has it, translation as CoVoST has it
CLIPS = {
    "fr": {
        1: ("train", "Il pleut.", "It is raining."),
        2: ("train", '"""Bonjour"", dit-il."', 'He said "hello".'),
        3: ("train_covost", unicodedata.normalize("NFD", "Où  est l'été ?"), "Where is\u00a0it?"),
        4: ("dev_covost", "Jamais pris.", "Never taken."),
        5: ("dev", "La porte est ouverte.", "The door is open."),
        6: ("test", "Le C:\\temp est plein.", '"The temp is full."'),
        7: ("test", "Un manque.", "A missing clip."),
        8: ("train", "Un clip coupé.", "A clip cut short."),
        9: ("train", "Un clip cassé.", "A broken clip."),
        10: ("train", "Sans traduction.", ""),
        11: ("validation", "Autre partie.", "Another split."),
    },
    "ja": {
        1: ("train", "窓を閉めてください。", "Please close the window."),
        2: ("dev", "雨が降っている。", "It is raining."),
        3: ("test", "猫が眠っている。", "The cat is sleeping."),
    },
}
KEPT = {
    "train_fr": {
        1: ("Il pleut.", "It is raining."),
        2: ('"Bonjour", dit-il.', 'He said "hello".'),
        3: ("Où est l'été ?", "Where is it?"),
    },
    "dev_fr": {5: ("La porte est ouverte.", "The door is open.")},
    "test_fr": {6: ("Le C:\\temp est plein.", "The temp is full.")},
}


def name(lang: str, number: int) -> str:
    return f"common_voice_{lang}_{number}.mp3"


def table(header: list[str], rows: list[list[str]]) -> str:
    """As pandas writes it for Common Voice and CoVoST: nothing quoted, a backslash before what is
    special; here with the line ends of Windows."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
    writer.writerows([header, *rows])
    return text.getvalue()


def write_clips(folder: Path, lang: str) -> None:
    """A second of noise each; of French, 7 is missing, 8 cut short, 9 no audio."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in (*CLIPS[lang], 99):
        soundfile.write(folder / name(lang, number), random.normal(0, 0.1, 48000), 48000)
    if lang == "fr":
        (folder / name(lang, 7)).unlink()
        whole = (folder / name(lang, 8)).read_bytes()
        (folder / name(lang, 8)).write_bytes(whole[: len(whole) // 2])
        (folder / name(lang, 9)).write_bytes(b"no audio")


def write_release(folder: Path, lang: str) -> None:
    """A language of Common Voice, unpacked."""
    write_clips(folder / "clips", lang)
    header = ["client_id", "path", "sentence", "up_votes", "down_votes"]
    rows = [[CLIENT, name(lang, n), text, "2", "0"] for n, (_, text, _) in CLIPS[lang].items()]
    rows.append([CLIENT, name(lang, 99), "Not translated.", "2", "0"])
    (folder / "validated.tsv").write_text(table(header, rows), "utf-8", newline="")


def write_corpora(top: Path) -> None:
    """French as an archive, Japanese unpacked; CoVoST's tables with a clip twice, a row too wide,
    a clip that Common Voice lacks."""
    write_release(top / "fr", "fr")
    (top / "cv4").mkdir()
    with tarfile.open(top / "cv4" / "fr.tar.gz", "w:gz") as tar:
        for path in sorted((top / "fr").iterdir()):
            tar.add(path, path.name)
    write_release(top / "cv4" / "cv-corpus-4-2019-12-10" / "ja", "ja")
    (top / "covost2").mkdir()
    for lang, clips in CLIPS.items():
        rows = [[name(lang, n), english, split] for n, (split, _, english) in clips.items()]
        if lang == "fr":
            rows += [rows[0], [*rows[0], "more"], [name("fr", 12), "Elsewhere.", "train"]]
        text = "\ufeff" + table(["path", "translation", "split"], rows)
        (top / "covost2" / f"covost_v2.{lang}_en.tsv").write_text(text, "utf-8", newline="")


def settings(top: Path, max_dropped: float = 0.8, min_coverage: float = 0.5) -> covost2.Settings:
    output = Output(top / "data", 2, max_dropped)
    return covost2.Settings(top / "cv4", top / "covost2", output, min_coverage)


def prepare(top: Path, *langs: str, later: Path | None = None, **options) -> None:
    covost2.prepare(settings(top, **options), list(langs), later, list(langs))


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    """The corpora, and data/ made of them by the command."""
    top = tmp_path_factory.mktemp("corpora")
    write_corpora(top)
    done = run_tool(
        "prepare_covost2", "--langs", "fr ja", "--common_voice", top / "cv4",
        "--covost2", top / "covost2", "--out", top / "data", "--nj", 2, "--max_dropped", 0.8,
        "--min_coverage", 0.5,
    )  # fmt: skip
    (top / "stderr").write_text(done.stderr)
    return top


@pytest.fixture
def copy(corpora: Path, tmp_path: Path) -> Path:
    """The corpora to change, nothing made of them."""
    for folder in ("cv4", "covost2"):
        shutil.copytree(corpora / folder, tmp_path / folder)
    return tmp_path


def texts(data: Path, folder: str) -> dict[int, tuple[str, str]]:
    sides = [kaldi.read_table(data / folder / field) for field in ("text.src", "text.tgt")]
    return {int(key.split("_")[-1]): tuple(side[key] for side in sides) for key in sides[0]}


def test_sets_are_the_official_ones_with_clean_texts(corpora: Path) -> None:
    assert {folder: texts(corpora / "data", folder) for folder in KEPT} == KEPT
    assert texts(corpora / "data", "dev_ja") == {2: ("雨が降っている。", "It is raining.")}
    assert run_tool("validate_data", corpora / "data").stdout.count("utterances") == 6
    assert set(kaldi.read_table(corpora / "data/train_fr/utt2spk").values()) == {
        f"fr_{CLIENT[:16]}"
    }


def test_every_fault_has_its_reason(corpora: Path) -> None:
    lines = (corpora / "data" / "dropped_fr.tsv").read_text("utf-8").splitlines()
    reasons: dict[str, str] = {}
    for clip, _, reason in (line.split("\t") for line in lines[1:]):
        assert reasons.setdefault(clip.removeprefix(f"fr_{CLIENT[:16]}-"), reason) == reason
    for clip, reason in {
        name("fr", 1): "the clip stands there twice",
        name("fr", 7): "not in clips/",
        name("fr", 8).removesuffix(".mp3"): "truncated audio: 0.4",
        name("fr", 9).removesuffix(".mp3"): "can't be read",
        name("fr", 10): "empty text",
        name("fr", 11): "'validation' is no split of CoVoST 2",
        name("fr", 12): "in no table of",
        "covost_v2.fr_en.tsv:14": "4 columns, not 3",
    }.items():
        assert reason in reasons.pop(clip)
    assert not reasons


def test_audio_is_16_khz_mono_and_nothing_stays_unpacked(corpora: Path) -> None:
    for audio in kaldi.read_table(corpora / "data/train_fr/wav.scp").values():
        info = soundfile.info(audio)
        assert (info.samplerate, info.channels, info.format) == (16000, 1, "FLAC")
        assert info.duration == pytest.approx(1, abs=0.05)
    assert not list((corpora / "data").glob(".*unpacked"))


def test_counts_are_compared_with_the_published_ones(corpora: Path) -> None:
    warnings = (corpora / "stderr").read_text()
    assert "train_fr: 8 utterances in its table, published 207374" in warnings
    assert "test_ja: 1 utterances in its table, published 684" in warnings


def test_tables_of_the_official_splitter_give_the_same(corpora: Path, copy: Path) -> None:
    """Split here by a plain reading of what get_covost_splits.py does."""
    rows = [(split, n, text, english) for n, (split, text, english) in CLIPS["fr"].items()]
    for part, splits in {
        "train": ("train", "train_covost"),
        "dev": ("dev",),
        "test": ("test",),
    }.items():
        content = [
            [name("fr", n), text, english, CLIENT]
            for split, n, text, english in rows
            if split in splits
        ]
        path = copy / "covost2" / f"covost_v2.fr_en.{part}.tsv"
        path.write_text(table(["path", "sentence", "translation", "client_id"], content), "utf-8")
    (copy / "covost2" / "covost_v2.fr_en.tsv").unlink()
    prepare(copy, "fr")
    for folder in KEPT:
        ours, theirs = (kaldi.read_dir(top / "data" / folder) for top in (copy, corpora))
        for field in theirs.keys() - {"wav.scp"}:
            assert ours[field] == theirs[field]
    (copy / "covost2" / "covost_v2.fr_en.dev.tsv").unlink()
    with pytest.raises(DataError, match=r"fr_en\.dev\.tsv: no such file beside the other splits"):
        prepare(copy, "fr")


def test_a_finished_language_is_not_redone(copy: Path) -> None:
    prepare(copy, "fr")
    first = (copy / "data/train_fr/text.tgt").stat().st_mtime_ns
    (copy / "cv4" / "fr.tar.gz").unlink()
    prepare(copy, "fr", "ja")
    assert (copy / "data/train_fr/text.tgt").stat().st_mtime_ns == first
    assert texts(copy / "data", "test_ja")
    shutil.rmtree(copy / "data" / "test_fr")
    with pytest.raises(DataError, match=r"neither fr\.tar\.gz nor an unpacked fr/ is there"):
        prepare(copy, "fr")


def test_untranslated_clips_leave_out_what_covost_has(copy: Path) -> None:
    prepare(copy, "fr")
    later = {
        1: ("Il pleut.", "in CoVoST 2"),
        4: ("Jamais pris.", "in CoVoST 2"),
        20: ("la porte est ouverte", "the same transcript is in dev_fr"),
        21: ("Le c temp est plein !", "the same transcript is in test_fr"),
        22: ("Il pleut.", ""),  # a sentence of the training set, by another speaker
        23: ("Tout neuf.", ""),
    }
    folder = copy / "cv11" / "fr"
    (folder / "clips").mkdir(parents=True)
    for number in later:
        soundfile.write(folder / "clips" / name("fr", number), np.random.normal(0, 0.1, 8000), 8000)
    rows = [["f" * 128, name("fr", n), text, ""] for n, (text, _) in later.items()]
    header = ["client_id", "path", "sentence", "sentence_domain"]
    (folder / "validated.tsv").write_text(table(header, rows), "utf-8")
    prepare(copy, "fr", later=copy / "cv11")
    found = kaldi.read_table(copy / "data/untranslated_fr/text.src")
    assert sorted(found.values()) == ["Il pleut.", "Tout neuf."]
    assert kaldi.validate_dir(copy / "data/untranslated_fr", texts=["text.src"]) == 2
    dropped = (copy / "data/dropped_untranslated_fr.tsv").read_text("utf-8")
    for number, (_, reason) in later.items():
        lines = [line for line in dropped.splitlines() if line.startswith(name("fr", number))]
        assert [reason in line for line in lines] == [True] * bool(reason)


def test_languages_are_the_papers() -> None:
    groups = [LANGUAGES[lang].group for lang in covost2.PUBLISHED]
    assert [groups.count(group) for group in ("high", "mid", "low")] == [4, 5, 12]
    assert len(covost2.PSEUDO_LANGS) == 17


def test_tables_are_downloaded_once(tmp_path: Path, monkeypatch) -> None:
    write_corpora(tmp_path)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(tmp_path / "covost2" / "covost_v2.fr_en.tsv", "covost_v2.fr_en.tsv")
    asked = []

    def opener(url: str) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(packed.getvalue())

    monkeypatch.setattr(archives, "open_url", opener)
    for _ in range(2):
        (found,) = covost2.find_tables(tmp_path / "new", "fr")
    assert asked == ["https://dl.fbaipublicfiles.com/covost/covost_v2.fr_en.tsv.tar.gz"]
    assert found.read_bytes() == (tmp_path / "covost2" / found.name).read_bytes()


def test_no_network(tmp_path: Path, monkeypatch) -> None:
    def opener(url: str):
        raise URLError("no route to host")

    monkeypatch.setattr(archives, "open_url", opener)
    with pytest.raises(DataError, match=r"covost_v2\.fr_en\.tsv\.tar\.gz can't be downloaded"):
        covost2.find_tables(tmp_path, "fr")
    assert not list(tmp_path.iterdir())


def cut_archive(top: Path) -> None:
    archive = top / "cv4" / "fr.tar.gz"
    archive.write_bytes(archive.read_bytes()[:20000])


def half_extracted(top: Path) -> None:
    (top / "cv4" / "fr.tar.gz").unlink()
    (top / "cv4" / "fr" / "clips").mkdir(parents=True)


def other_archive(top: Path) -> None:
    with tarfile.open(top / "cv4" / "fr.tar.gz", "w:gz") as tar:
        tar.add(top / "covost2", "covost2")


def other_release(top: Path) -> None:
    """Before its version 4 Common Voice named clips by hashes."""
    for path in (top / "cv4/cv-corpus-4-2019-12-10/ja/clips").iterdir():
        path.rename(path.with_name(f"{hash(path.name):032x}.mp3"))


def no_header(top: Path) -> None:
    path = top / "covost2" / "covost_v2.ja_en.tsv"
    path.write_text(path.read_text("utf-8").partition("\n")[2], "utf-8")


def not_utf8(top: Path) -> None:
    (top / "covost2" / "covost_v2.ja_en.tsv").write_bytes("path\tété\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("langs", "fault", "complaint"),
    [
        ("xx", None, "CoVoST 2 has no 'xx'; choose from: fr de"),
        ("en", None, "CoVoST 2 doesn't translate 'en' into 'en', but into: ar "),
        ("fr", cut_archive, r"fr\.tar\.gz: damaged, or there in part \(.+\); remove it"),
        (
            "ja fr",
            half_extracted,
            "cv4/fr: no clips/ or no validated.tsv, so it was unpacked in part",
        ),
        ("fr", other_archive, r"fr\.tar\.gz: no clips/ and validated\.tsv in 'fr'"),
        (
            "ja",
            other_release,
            "0 of the 1 clips of train are there, less than the 50% of --min_coverage",
        ),
        ("ja", no_header, r"covost_v2\.ja_en\.tsv: no column 'path' in its header"),
        ("ja", not_utf8, r"covost_v2\.ja_en\.tsv:1: not UTF-8"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(copy: Path, langs: str, fault, complaint) -> None:
    if fault:
        fault(copy)
    with pytest.raises(DataError, match=complaint) as caught:
        prepare(copy, *langs.split())
    assert "\n" not in str(caught.value)
    assert not [path for path in copy.glob("data/*") if path.name != "audio"]


def test_too_many_unusable_clips_are_found_before_audio_is_read(copy: Path) -> None:
    with pytest.raises(DataError, match=r"4 of 11 utterances can't be used, more than the 5%"):
        prepare(copy, "fr", max_dropped=0.05)
    assert not list(copy.glob("data/audio"))
    faults = [Dropped("a", "fr", "one"), Dropped("b", "fr", "two"), Dropped("c", "fr", "two")]
    option = r"--max_dropped \(of stage 1: --local_data_opts\)"
    with pytest.raises(DataError, match=rf"{option}: b \(two\), c \(two\), a \(one\)"):
        check_share(copy, faults, 5, 0.5)


def test_no_room_to_unpack(copy: Path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(DataError, match=r"fr\.tar\.gz: no room to unpack its"):
        prepare(copy, "fr")


def test_a_full_disk_while_audio_is_written(copy: Path, tmp_path: Path) -> None:
    """Files of 10 kB and more can't be written: clips can't, tables could. A rerun goes on."""
    command = [
        sys.executable, "-m", "comsl.bin.prepare_covost2", "--langs", "ja", "--nj", "1",
        "--common_voice", copy / "cv4", "--covost2", copy / "covost2", "--out", copy / "data",
    ]  # fmt: skip
    limited = ["bash", "-c", 'ulimit -f 10; exec "$@"', "-", *map(str, command)]
    done = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "common_voice_ja_1.flac can't be written" in errors[0]
    assert "Traceback" not in done.stderr
    assert not [path for path in copy.glob("data/**/*") if path.is_file()]
    prepare(copy, "ja")
    assert texts(copy / "data", "test_ja")


def write_later_release(archive: Path) -> None:
    """French as a release of 2025 has it: more columns, a sentence corrected, a clip of the test
    set moved to other.tsv, another one withdrawn, durations of clips in a table of their own."""
    folder = "cv-corpus-24.0-2025-12-05/fr"
    header = ["client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes"]
    header += ["down_votes", "age", "gender", "accents", "variant", "locale", "segment"]
    rows = {
        n: ["e" * 128, name("fr", n), "f" * 64, text, "", "2", *[""] * 7]
        for n, (_, text, _) in CLIPS["fr"].items()
    }
    rows[1][3] = "Il pleut !"
    durations = [[name("fr", n), "1000"] for n in rows]
    files = {
        "validated.tsv": table(header, [row for n, row in rows.items() if n != 6]),
        "other.tsv": table(header, [rows[6]]),
        "clip_durations.tsv": table(["clip", "duration[ms]"], durations),
    }
    clip = io.BytesIO()
    soundfile.write(clip, np.random.default_rng(0).normal(0, 0.1, 8000), 8000, format="WAV")
    contents = {key: text.encode() for key, text in files.items()}
    contents |= {f"clips/{name('fr', n)}": clip.getvalue() for n in (1, 2, 3, 5, 6)}
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for file, content in contents.items():
            member = tarfile.TarInfo(f"{folder}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_a_later_release_covers_what_it_has(copy: Path) -> None:
    """Clips are found by their names in whatever table votes have moved them to, texts are CoVoST's
    where its splitter wrote them, and the share of every set that is there is told."""
    write_later_release(copy / "cv24/mcv-scripted-fr-v24.0.tar.gz")
    (copy / "cv24/cv-corpus-24.0-delta-2025-12-05-fr.tar.gz").write_bytes(b"new clips alone")

    def prepared(min_coverage: float) -> dict[int, tuple[str, str]]:
        output = Output(copy / "data", 2, 0.8)
        made = covost2.Settings(copy / "cv24", copy / "covost2", output, min_coverage)
        covost2.prepare(made, ["fr"], None, [])
        return texts(copy / "data", "train_fr") | texts(copy / "data", "test_fr")

    with pytest.raises(DataError, match=r"v24\.0\.tar\.gz: 4 of the 8 clips of train are there"):
        prepared(min_coverage=0.6)
    joined = prepared(min_coverage=0.5)
    assert joined[1][0] == "Il pleut !"
    assert joined[6][1] == "The temp is full."
    assert read_coverage(copy / "data", "test", ["fr", "ja"], {"fr": 1}) == {"fr": 50.0}
    for part, numbers in {"train": (1, 2, 3, 8), "dev": (5,), "test": (6, 7)}.items():
        rows = [[name("fr", n), *CLIPS["fr"][n][1:], CLIENT] for n in numbers]
        path = copy / "covost2" / f"covost_v2.fr_en.{part}.tsv"
        path.write_text(table(["path", "sentence", "translation", "client_id"], rows), "utf-8")
    assert prepared(min_coverage=0.5) == joined | {1: ("Il pleut.", "It is raining.")}
    dropped = (copy / "data/dropped_fr.tsv").read_text("utf-8")
    assert f"{name('fr', 7)}\tfr\tnot in clips/ of" in dropped
    shutil.copy(copy / "cv24/mcv-scripted-fr-v24.0.tar.gz", copy / "cv24/fr.tar.gz")
    with pytest.raises(DataError, match=r"fr\.tar\.gz and .+v24\.0\.tar\.gz: which of them"):
        common_voice.locate(copy / "cv24", "fr")


def test_the_recipe_reads_the_folders_that_the_environment_names(copy: Path) -> None:
    """Stages 1 and 2 as a user runs them; a later Common Voice, named afterwards, is noticed."""
    folders = {"COMMONVOICE": copy / "cv4", "COVOST2": copy / "covost2"}
    dirs = [word for kind in ("data", "dump", "exp") for word in (f"--{kind}dir", copy / kind)]
    options = ["--langs", "fr ja", "--stop_stage", "2"]
    options += ["--local_data_opts", "--max_dropped 0.8 --min_coverage 0.5"]
    command = [ROOT / "egs2/covost2/comsl1/run.sh", *dirs, *options, "--nj", "2"]

    def run() -> str:
        env = os.environ | {name: str(path) for name, path in folders.items()}
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run()
    raw = copy / "dump/covost2/raw"
    assert kaldi.validate_dir(raw / "train") == 4
    assert run().count("up to date") == 2
    folders["COMMONVOICE_LATER"] = copy / "cv4" / "cv-corpus-4-2019-12-10"  # fr: not by default
    run()
    assert not (raw / "untranslated_fr").exists()
    assert kaldi.validate_dir(raw / "untranslated_ja", texts=["text.src"]) == 1


def test_english_is_translated_into_others(tmp_path):
    """A clip, stored once, has an utterance for each language; the three sets as ever."""
    release, tables = tmp_path / "cv4/en", tmp_path / "covost2"
    (release / "clips").mkdir(parents=True)
    tables.mkdir()
    splits = dict(enumerate(("train", "train", "dev", "test")))
    for number in splits:
        noise = np.random.default_rng(number).normal(0, 0.1, 48000)
        soundfile.write(release / "clips" / name("en", number), noise, 48000)
    header = ["client_id", "path", "sentence", "up_votes", "down_votes"]
    rows = [[CLIENT, name("en", n), f"Sentence {n}.", "2", "0"] for n in splits]
    (release / "validated.tsv").write_text(table(header, rows), "utf-8", newline="")
    for target in ("de", "sv-SE"):
        rows = [[name("en", n), f"{target} {n}.", split] for n, split in splits.items()]
        text = table(["path", "translation", "split"], rows)
        (tables / f"covost_v2.en_{target}.tsv").write_text(text, "utf-8", newline="")
    command = ["--common_voice", tmp_path / "cv4", "--covost2", tables, "--out", tmp_path / "data"]
    run_tool(
        "prepare_covost2", *command, "--langs", "en", "--nj", 1, "--target_lang", "en de sv-SE"
    )
    made = tmp_path / "data/train_en"
    texts, targets = (kaldi.read_table(made / field) for field in ("text.tgt", "utt2target"))
    assert sorted(texts.values()) == ["de 0.", "de 1.", "sv-SE 0.", "sv-SE 1."]
    for key, text in texts.items():
        assert text.startswith(targets[key])
        assert key.endswith(f"-{targets[key]}")
    assert len(set(kaldi.read_table(made / "wav.scp").values())) == 2
    command = [*command[:-1], tmp_path / "other", "--langs", "en", "--target_lang", "fr"]
    refused = run_tool("prepare_covost2", *command, check=False)
    assert "CoVoST 2 doesn't translate 'en' into 'fr', but into: ar ca" in refused.stderr
