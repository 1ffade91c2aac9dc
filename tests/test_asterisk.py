"""The embedded corpus: its faults are cleaned, its sets share no sentence, its fetch is safe."""

import dataclasses
import gzip
import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from urllib.error import URLError

import av
import numpy as np
import pytest
import soundfile
from conftest import ROOT, run_tool

from comsl.corpora import archives, asterisk, asterisk_release, asterisk_text, debian, kaldi
from comsl.corpora.asterisk_release import Release
from comsl.corpora.text import plain_words
from comsl.errors import DataError

RECIPE = ROOT / "egs2/asterisk/comsl1/local"

ENGLISH = {
    "auth-thankyou": "Thank you.",
    "beep": "[this is a simple beep tone]",
    "conf-leave-in": "To leave the conference...",
    "conf-leave-out": "...to leave the conference.",
    "digits/7": "seven",
    "goodbye-a": "Goodbye, my dear friend",
    "goodbye-b": "So long, my dear friend",
    "letters/a": "a",
    "nothing": "There is nothing to hear",
    **{f"menu-{n}": f"Press {n} for menu {n}." for n in range(40)},
}
ITALIAN = [
    "\ufeff; a comment",
    "auth-thankyou: Grazie.",
    "beep: un suono beep",
    "conf-leave-in: Per lasciare la conferenza... conf-leave-out: ...per lasciare la conferenza.",
    "digits/7: sette",
    "goodbye-a: Addio, amico mio (enfatico)",
    "goodbye-b: Addio, amico mio",
    "letters/a: a",
    "nothing: Non si sente nulla",
    "only-here: La conferenza ? piena.",
    "no-audio: Non registrato.",
    *(f"menu-{n}: premere {n} per il menu {n}." for n in range(40)),
]


def write_g722(path: Path, samples: np.ndarray) -> None:
    """Encode 16 kHz samples in [-1, 1] as raw G.722."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16000, layout="mono")
        pcm = (samples * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def tone(seconds: float) -> np.ndarray:
    return 0.3 * np.sin(np.arange(int(16000 * seconds)) * 0.1)


@pytest.fixture(scope="module")
def releases(tmp_path_factory) -> dict[str, Release]:
    """English and Italian in small, with the faults of the real corpus."""
    top = tmp_path_factory.mktemp("release")
    english = top / "core-sounds-en.txt.gz"
    english.write_bytes(gzip.compress("\n".join(f"{k}: {v}" for k, v in ENGLISH.items()).encode()))
    italian = top / "core-sounds-it.txt"
    italian.write_text("\n".join(ITALIAN), encoding="utf-8")
    for key in [*ENGLISH, "only-here", "no-text"]:
        write_g722(top / "it" / f"{key}.g722", tone(0.5) * (key != "nothing"))
    return {"en": Release("en", english, top / "en"), "it": Release("it", italian, top / "it")}


@pytest.fixture(scope="module")
def corpus(releases, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("data") / "asterisk"
    asterisk.prepare(releases, ["it"], ["en"], RECIPE, out, asterisk.Split(0, 4))
    return out


def table(corpus: Path, field: str, sets: str = "*") -> dict[str, str]:
    """A field of several sets together."""
    paths = sorted(corpus.glob(f"{sets}_it/{field}"))
    return {key: value for path in paths for key, value in kaldi.read_table(path).items()}


def test_texts_are_cleaned_and_paired(corpus: Path) -> None:
    source, target = table(corpus, "text.src"), table(corpus, "text.tgt")
    assert source["it_carlo-conf-leave-out"] == "Per lasciare la conferenza."
    assert target["it_carlo-conf-leave-out"] == "To leave the conference."
    assert source["it_carlo-digits_7"] == "sette"
    assert source["it_carlo-menu-3"] == "Premere 3 per il menu 3."
    assert table(corpus, "text.src", "untranslated") == {
        "it_carlo-only-here": "La conferenza è piena."
    }


def test_audio_is_decoded_to_16_khz_mono(corpus: Path) -> None:
    path = table(corpus, "wav.scp")["it_carlo-digits_7"]
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.format) == (16000, 1, "FLAC")
    assert float(table(corpus, "utt2dur")["it_carlo-digits_7"]) == pytest.approx(0.5, abs=0.01)


def test_every_dropped_utterance_has_its_reason(corpus: Path) -> None:
    rows = [line.split("\t") for line in (corpus / "dropped.tsv").read_text().splitlines()]
    reasons = {utterance.removeprefix("it_carlo-"): reason for utterance, _, reason in rows[1:]}
    assert rows[0] == ["utterance", "language", "reason"]
    assert reasons.pop("nothing").startswith("silent audio")
    repeats = [key for key in reasons if key.startswith("goodbye-")]
    assert all("has the same sentence" in reasons.pop(key) for key in repeats)
    assert reasons == {
        "beep": "a sound, not speech",
        "letters_a": "a letter, not a word",
        "no-audio": "no audio",
        "no-text": "no transcript",
    }


def test_no_sentence_is_in_two_sets(corpus: Path) -> None:
    seen: dict[tuple[str, str], str] = {}
    for name in ("train", "dev", "test"):
        for field in ("text.src", "text.tgt"):
            for text in table(corpus, field, name).values():
                assert seen.setdefault((field, plain_words(text)), name) == name
    sizes = {name: len(table(corpus, "text.tgt", name)) for name in ("train", "dev", "test")}
    assert sizes["dev"] >= 4
    assert sizes["test"] >= 4
    assert sizes["train"] > sizes["test"]


def test_short_prompts_are_for_training(corpus: Path) -> None:
    assert {"it_carlo-digits_7", "it_carlo-auth-thankyou"} <= table(
        corpus, "wav.scp", "train"
    ).keys()


def test_split_is_one_hash_with_folds() -> None:
    sentences = [f"Sentence number {n} of many." for n in range(100)]
    homes = [[asterisk.Split(fold, 4).set_of(text) for fold in range(4)] for text in sentences]
    assert all(sorted(home) == ["dev", "test", "train", "train"] for home in homes)
    split = asterisk.Split(0, 4)
    assert split.set_of("PRESS, one for... help!") == split.set_of("Press one for help")


def test_folds_share_out_the_sentences(releases, tmp_path: Path) -> None:
    """Every sentence is tested once, and never where its fold trains or chooses a model on it."""
    tested: list[str] = []
    for fold in range(4):
        out = tmp_path / str(fold)
        asterisk.prepare(releases, ["it"], ["en"], RECIPE, out, asterisk.Split(fold, 4))
        texts = {
            (name, field): {plain_words(text) for text in table(out, field, name).values()}
            for name in ("train", "dev", "test")
            for field in ("text.src", "text.tgt")
        }
        for field in ("text.src", "text.tgt"):
            assert not texts["test", field] & (texts["train", field] | texts["dev", field])
            assert not texts["dev", field] & texts["train", field]
        tested += texts["test", "text.tgt"]
    phrases = {plain_words(f"Press {n} for menu {n}.") for n in range(40)}
    assert len(tested) == len(set(tested))
    assert phrases <= set(tested)
    assert "seven" not in tested


def test_both_directions(releases, tmp_path: Path) -> None:
    """What is said or written in a language in one set is neither in another, in any direction."""
    english = dataclasses.replace(releases["en"], sounds=releases["it"].sounds)
    both = ["en", "it"]
    asterisk.prepare(releases | {"en": english}, both, both, RECIPE, tmp_path, asterisk.Split(0, 4))
    seen: dict[tuple[str, str], str] = {}
    for name in ("train", "dev", "test"):
        for lang, other in (both, both[::-1]):
            folder = tmp_path / f"{name}_{lang}"
            targets = kaldi.read_table(folder / "utt2target")
            assert set(targets.values()) == {other}
            assert all(key.endswith(f"-{other}") for key in targets)
            for field, code in (("text.src", lang), ("text.tgt", other)):
                for text in kaldi.read_table(folder / field).values():
                    assert seen.setdefault((code, plain_words(text)), name) == name
    texts = kaldi.read_table(tmp_path / "train_en/text.tgt")
    assert texts["en_allison-digits_7-it"] == "sette"
    assert not (tmp_path / "untranslated_it").exists()


def test_another_speaker_says_only_what_no_model_was_trained_on(releases, tmp_path: Path) -> None:
    """And is in a set of its own: the others stay as they are without."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for key in {*ENGLISH, "only-here"} - {"nothing"}:
        path = sounds / f"{key}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, tone(0.5)[::2], 8000)
    (sounds / "menu-0.wav").unlink()
    split = asterisk.Split(0, 4)
    voice = asterisk_release.OtherVoice("it", "it_other", sounds)
    for name, others in (("with", [voice]), ("without", [])):
        out = tmp_path / name
        asterisk.prepare(releases, ["it"], ["en"], RECIPE, out, split, others=others)
    for field in ("text.src", "text.tgt"):
        expected = {
            key.replace("carlo", "other"): text
            for name in ("dev", "test")
            for key, text in kaldi.read_table(tmp_path / f"with/{name}_it/{field}").items()
            if key not in ("it_carlo-menu-0", "it_carlo-nothing")
        }
        assert kaldi.read_table(tmp_path / f"with/test_other_it/{field}") == expected
        for name in ("train", "dev", "test", "untranslated"):
            if (path := tmp_path / f"with/{name}_it/{field}").is_file():
                assert (
                    path.read_text() == Path(str(path).replace("/with/", "/without/")).read_text()
                )
    assert not (tmp_path / "without/test_other_it").exists()
    clips = kaldi.read_table(tmp_path / "with/test_other_it/wav.scp")
    assert {soundfile.info(clip).samplerate for clip in clips.values()} == {16000}


def test_without_the_package_there_is_no_other_speaker(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert asterisk_release.fetch_other_voices(["fr", "it"], tmp_path) == []
    assert "no set of other speakers: " in caplog.text
    caplog.clear()
    assert asterisk_release.fetch_other_voices(["fr"], tmp_path) == []
    assert not caplog.text


def test_limit(releases, tmp_path: Path) -> None:
    asterisk.prepare(
        releases, ["it"], ["en"], RECIPE, tmp_path / "out", asterisk.Split(0, 4), limit=2
    )
    counts = [len(table(tmp_path / "out", "wav.scp", name)) for name in ("train", "dev", "test")]
    assert counts == [2, 2, 2]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("... letters of your name.", "Letters of your name."),
        ("The last caller was...", "The last caller was"),
        ("who introduces themselves as:", "Who introduces themselves as"),
        ("“Pour quitter, appuyez sur 8.”", "Pour quitter, appuyez sur 8."),
        ('pour les autres participants..."', "Pour les autres participants"),
        ('les commandes “dial”, “answer" e ”hangup”', 'Les commandes "dial", "answer" e "hangup"'),
        ("sur 5.Pour retourner , appuyez", "Sur 5. Pour retourner, appuyez"),
        ("Spiacente, [quello] non vale.", "Spiacente, non vale."),
        ("al tasto cancelletto. (un beep dopo).", "Al tasto cancelletto."),
        ("Press  7   key.", "Press 7 key."),
        ("on www.asterisk.org at 28.8 kb", "On www.asterisk.org at 28.8 kb"),
        ("A.M.", "A.M."),
    ],
)
def test_clean(raw: str, clean: str) -> None:
    assert asterisk_text.clean(raw) == clean


def test_a_key_repeated_in_its_text_is_no_text(tmp_path: Path) -> None:
    script = tmp_path / "script.txt"
    script.write_text("conf-menu: conf-menu: Нажмите 1.\na: A.b-c: First\nb-c: Second\n")
    assert asterisk_text.read_script(script, []) == {
        "conf-menu": "Нажмите 1.",
        "a": "A.",
        "b-c": "First",
    }


def test_corrections_are_whole_words_and_keep_capitals(tmp_path: Path) -> None:
    (tmp_path / "c.tsv").write_text("language\twrong\tright\nes\textension\textensión\n")
    corrections = asterisk_text.read_corrections(tmp_path / "c.tsv", "es")
    line = "vm-extension: Extension y extensiones, extension."
    expected = "vm-extension: Extensión y extensiones, extensión."
    assert asterisk_text.correct(line, corrections) == expected
    assert asterisk_text.read_corrections(tmp_path / "c.tsv", "fr") == []


def test_malformed_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "c.tsv").write_text("language\twrong\tright\nes\tonly two\n")
    with pytest.raises(DataError, match=r"c\.tsv:2: 2 columns"):
        asterisk_text.read_corrections(tmp_path / "c.tsv", "es")
    (tmp_path / "script.txt").write_text("a: b\nno key here\n")
    with pytest.raises(DataError, match=r"script\.txt:2: no 'key: text'"):
        asterisk_text.read_script(tmp_path / "script.txt", [])


def tarball(tmp_path: Path) -> bytes:
    """What the Asterisk project's site serves."""
    write_g722(tmp_path / "vm-goodbye.g722", tone(0.2))
    (tmp_path / "core-sounds-it.txt").write_text("vm-goodbye: Arrivederci\n")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path in sorted(tmp_path.iterdir()):
            tar.add(path, path.name)
    return buffer.getvalue()


def test_site_is_fetched_once_and_checked(tmp_path: Path, monkeypatch) -> None:
    content = tarball(tmp_path)
    sha1, asked = hashlib.sha1(content).hexdigest(), []

    def opener(url: str) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(f"{sha1}  name\n".encode() if url.endswith(".sha1") else content)

    monkeypatch.setattr(archives, "open_url", opener)
    for _ in range(2):
        release = asterisk_release.from_site("it", tmp_path / "downloads")
    url = f"{asterisk_release.SITE}/asterisk-core-sounds-it-g722-1.6.1.tar.gz"
    assert asked == [f"{url}.sha1", url]
    assert release.script.name == "core-sounds-it.txt"
    assert (release.sounds / "vm-goodbye.g722").is_file()


@pytest.mark.parametrize("fault", ["hash", "interrupted", "offline"])
def test_a_bad_download_leaves_nothing(tmp_path: Path, fault: str, monkeypatch) -> None:
    class Interrupted(io.BytesIO):
        def read(self, *_):
            raise ConnectionResetError("connection reset")

    def opener(url: str) -> io.BytesIO:
        if fault == "offline":
            raise URLError("no route to host")
        if url.endswith(".sha1"):
            return io.BytesIO(b"0" * 40)
        return Interrupted() if fault == "interrupted" else io.BytesIO(b"something else")

    monkeypatch.setattr(archives, "open_url", opener)
    with pytest.raises(DataError, match=r"downloads\.asterisk\.org"):
        asterisk_release.from_site("it", tmp_path)
    assert not list((tmp_path / "asterisk").iterdir())


def test_debian_without_apt(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="no apt-get on this machine"):
        debian.fetch(["some-package"], tmp_path)
    assert not [path for path in (tmp_path / "debian").iterdir() if path.name != ".lists"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--langs", "xx"], "no Asterisk prompts in 'xx'; choose from: en es fr"),
        (["--langs", "en"], "'en' is the target"),
        (["--fold", 9], "fold 9 of 9"),
    ],
)
def test_wrong_options_end_in_one_line(tmp_path: Path, options: list, complaint: str) -> None:
    result = run_tool("prepare_asterisk", *options, "--out", tmp_path / "out", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert complaint in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_package_that_two_fetch_at_once(tmp_path: Path, monkeypatch) -> None:
    """The second finds the first's folder, complete, and keeps it."""
    source = tmp_path / "source"
    (source / "DEBIAN").mkdir(parents=True)
    fields = (
        "Package: sounds",
        "Version: 1",
        "Architecture: all",
        "Maintainer: a",
        "Description: a",
    )
    (source / "DEBIAN/control").write_text("\n".join(fields) + "\n")

    def download(packages: list[str], work: Path, store: Path) -> None:
        (store / "sounds/usr").mkdir(parents=True)
        subprocess.run(["dpkg-deb", "--build", source, work / "sounds_1_all.deb"], check=True)

    monkeypatch.setattr(debian, "_download", download)
    assert debian.fetch(["sounds"], tmp_path) == {"sounds": tmp_path / "debian/sounds"}
    assert [path.name for path in (tmp_path / "debian/sounds").iterdir()] == ["usr"]
