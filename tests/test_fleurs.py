"""FLEURS in miniature, in both published layouts and with their faults."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
from conftest import run_tool

from comsl.corpora import fleurs, kaldi
from comsl.corpora.coverage import read_coverage
from comsl.corpora.fleurs import SETS

# number of a sentence -> set, text; English lacks 4
ENGLISH = {
    1: ("train", "The cat sleeps."),
    2: ("dev", "It is raining."),
    3: ("test", "Where is it?"),
    5: ("test", "In the other set."),
    6: ("test", "Good morning."),
}
# file -> set, number, text
FRENCH = {
    "10.wav": ("train", 1, '"""Le chat"" dort."'),
    "11.wav": ("train", 1, "Le chat dort."),
    "12.wav": ("train", 4, "Sans traduction."),
    "13.wav": ("train", 5, "Dans un autre jeu."),
    "14.wav": ("dev", 2, "Il pleut."),
    "15.wav": ("test", 3, "Où est-ce\u00a0?"),
    "16.wav": ("test", 6, "Bonjour."),  # its recording is missing
    "17.wav": ("test", 6, "Bonjour !"),  # its recording is empty
}


def recording(file: str) -> bytes:
    """Half a second of noise, of 17 nothing."""
    audio = io.BytesIO()
    samples = np.random.default_rng(int(file[:2])).normal(0, 0.1, 0 if file == "17.wav" else 8000)
    soundfile.write(audio, samples, 16000, format="WAV")
    return audio.getvalue()


def rows(lang: str, name: str) -> list[tuple[int, str, str]]:
    if lang == "en":
        return [(n, f"{n}0000.wav", text) for n, (home, text) in ENGLISH.items() if home == name]
    return [(n, file, text) for file, (home, n, text) in FRENCH.items() if home == name]


def write_hub(folder: Path) -> None:
    """As the hub's repository is; of English the tables alone. Windows' line ends, a byte order
    mark, a row twice and one that is cut short."""
    for lang, config in (("en", "en_us"), ("fr", "fr_fr")):
        for name in SETS:
            lines = [
                "\t".join([str(n), file, text, text.lower(), "l e | c h a t |", "8000", "FEMALE"])
                for n, file, text in rows(lang, name)
            ]
            if (lang, name) == ("fr", "train"):
                lines += [lines[0], "7\t18.wav\tCoup"]
            table = folder / "data" / config / f"{name}.tsv"
            table.parent.mkdir(parents=True, exist_ok=True)
            table.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", "utf-8", newline="")
    for name in SETS:
        archive = folder / "data/fr_fr/audio" / f"{name}.tar.gz"
        archive.parent.mkdir(exist_ok=True)
        with tarfile.open(archive, "w:gz") as tar:
            for _, file, _ in rows("fr", name):
                if file != "16.wav":
                    content = recording(file)
                    member = tarfile.TarInfo(f"{name}/{file}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def write_export(folder: Path) -> None:
    """As `datasets` exports it, with the audio inside."""
    for lang, config in (("en", "en_us"), ("fr", "fr_fr")):
        for name, exported in fleurs.EXPORTED.items():
            path = folder / config / exported / "0000.parquet"
            path.parent.mkdir(parents=True)
            items = [
                {
                    "id": n,
                    "path": f"/cache/{name}/{file}",
                    "audio": {"bytes": recording(file), "path": file},
                    "transcription": text.lower(),
                    "raw_transcription": text,
                }
                for n, file, text in rows(lang, name)
                if file != "16.wav"
            ]
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(items), path)


def prepare(source: Path, out: Path, **options):
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return run_tool(
        "prepare_fleurs", "--fleurs", source, "--out", out, "--langs", "fr", "--nj", 1,
        "--max_dropped", 0.5, *words, check=False,
    )  # fmt: skip


def texts(out: Path) -> dict[str, tuple[str, ...]]:
    """Set and file -> transcript, translation."""
    found = {}
    for name in SETS:
        sides = [kaldi.read_table(out / f"{name}_fr" / field) for field in ("text.src", "text.tgt")]
        for key in sides[0]:
            found[f"{name} {key.split('_')[-1]}"] = tuple(side[key] for side in sides)
    return found


@pytest.mark.parametrize("write", [write_hub, write_export])
def test_sentences_are_paired_by_number_within_a_set(tmp_path, write):
    write(tmp_path / "fleurs")
    done = prepare(tmp_path / "fleurs", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert texts(tmp_path / "data") == {
        "train 10": ('"Le chat" dort.', "The cat sleeps."),
        "train 11": ("Le chat dort.", "The cat sleeps."),
        "dev 14": ("Il pleut.", "It is raining."),
        "test 15": ("Où est-ce ?", "Where is it?"),
    }
    assert run_tool("validate_data", tmp_path / "data").stdout.count("utterances") == 3
    dropped = (tmp_path / "data/dropped_fr.tsv").read_text("utf-8")
    reasons = {"12.wav": "'en' has no such sentence in train", "13.wav": "'en' has no such sent"}
    reasons |= {"fr_0006_17": "zero-length audio"}
    if write == write_hub:
        reasons |= {"10.wav": "stands there twice", "16.wav": "not in the audio of test"}
        reasons |= {"train.tsv:6": "3 columns, not 7"}
    assert len(dropped.splitlines()) == 1 + len(reasons)
    for key, reason in reasons.items():
        assert f"{key}\tfr\t" in dropped
        assert reason in dropped
    size = 3 if write == write_hub else 2
    coverage = read_coverage(tmp_path / "data", "test", ["fr"], {"fr": 1})
    assert coverage == {"fr": pytest.approx(100 / size, abs=0.05)}
    assert not list((tmp_path / "data").glob(".fr*"))


def test_a_finished_language_needs_no_archive(tmp_path):
    source, out = tmp_path / "fleurs", tmp_path / "data"
    write_hub(source)
    archive = source / "data/fr_fr/audio/dev.tar.gz"
    archive.write_bytes(archive.read_bytes()[:2000])
    failed = prepare(source, out)
    assert "dev.tar.gz: damaged, or there in part" in failed.stderr
    assert not list(out.glob("*"))
    archive.unlink()
    failed = prepare(source, out)  # and the hub is out of reach
    assert "data/fr_fr/audio/dev.tar.gz of google/fleurs can't be fetched" in failed.stderr
    assert failed.stderr.count("error: ") == 1
    write_hub(source)
    assert prepare(source, out).returncode == 0
    archive.unlink()
    assert prepare(source, out).returncode == 0
    assert prepare(source, out, langs="fr_fr", target_lang="en_us").returncode == 0
    assert prepare(source, out, langs="tlh").stderr.startswith("error: FLEURS has no 'tlh'; choose")
    (source / "data/en_us/dev.tsv").write_text("2\tx.wav\tIt rains.\tit rains.\tx\t1\tMALE\n")
    assert "dev.tar.gz of google/fleurs can't be fetched" in prepare(source, out).stderr
