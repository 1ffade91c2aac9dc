"""mTEDx, MuST-C and Europarl-ST in miniature, in their published layouts and with their faults."""

import tarfile
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
import soundfile
from conftest import run_tool

from comsl.corpora import kaldi
from comsl.corpora.audio import read_audio
from comsl.corpora.segments import training_fault
from comsl.corpora.synthesis import speak
from comsl.evaluation.resegmentation import resegment

# Of every set: recording, seconds from and to, transcript, translation. The recordings last 6 s.
SEGMENTS = [
    ("one", 0.5, 2.0, "Il pleut aujourd'hui.", "It is raining today."),
    ("one", 2.0, 3.5, '  "Bonjour", dit-il. ', "He said hello."),
    ("one", 3.5, 4.0, "(Applaudissements)", "(Applause)"),
    ("two", 1.0, 2.5, "Où est la gare ?", "Where is the station?"),
    ("two", 1.0, 2.5, "Encore une fois.", "Once more."),
    ("two", 3.0, 3.0, "Rien.", "Nothing."),
    ("two", 5.0, 9.0, "Trop long.", "Too long."),
    ("three", 0.0, 1.0, "Il n'y a pas de son.", "There is no sound."),
    ("two", 3.0, 4.0, "", "Not transcribed."),
]
FAULTS = {  # of a training set: line -> reason
    3: "no speech in it",
    5: "the same stretch as",
    6: "4 letters in 0.00 s",
    7: "5 to 9 s of a recording of 6.0",
    8: "no recording 'three",
    9: "empty text",
}


def write_audio(folder: Path, name: str, suffix: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for recording in ("one", "two"):
        path = folder / f"{recording}{name}{suffix}"
        speech = speak(f"{recording} {name}: il pleut aujourd'hui, et la gare est loin.", "fr")
        samples = np.resize(speech.samples, (6 * 16000, 1))
        if suffix != ".m4a":
            soundfile.write(path, samples, 16000)
            continue
        soundfile.write(path.with_suffix(".wav"), samples, 16000)
        convert(path)


def convert(path: Path) -> None:
    """A WAV to AAC in MP4."""
    import av

    samples = soundfile.read(path.with_suffix(".wav"), dtype="float32")[0]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = 16000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    path.with_suffix(".wav").unlink()


def write_talks(top: Path, pair: str, names: dict[str, str], suffix: str) -> None:
    """The layout of mTEDx and MuST-C, whose YAML says .wav whatever the files are."""
    source, target = pair.split("-")
    for theirs in names:
        folder = top / pair / "data" / theirs
        write_audio(folder / "wav", theirs, suffix)
        lines = [
            f"- {{duration: {end - start}, offset: {start}, speaker_id: spk.{recording}, "
            f"wav: {recording}{theirs}.wav}}\r\n"
            for recording, start, end, *_ in SEGMENTS
        ]
        text = folder / "txt"
        text.mkdir()
        (text / f"{theirs}.yaml").write_text("".join(lines), newline="")
        for column, lang in ((3, source), (4, target)):
            lines = "".join(f"{normalize('NFD', row[column])}\r\n" for row in SEGMENTS)
            (text / f"{theirs}.{lang}").write_text("\ufeff" + lines, "utf-8", newline="")


def write_mtedx(top: Path) -> Path:
    """Archives."""
    write_talks(top / "made", "fr-en", MTEDX, ".flac")
    pack(top / "made", top / "corpus/mtedx_fr-en.tgz")
    return top / "corpus"


def write_must_c(top: Path) -> Path:
    """Unpacked, and of English into German."""
    write_talks(top / "corpus/MUSTC_v2.0", "en-de", MUST_C, ".wav")
    return top / "corpus"


def write_europarl_st(top: Path) -> Path:
    """One archive of all languages."""
    write_audio(top / "made/v1.1/es/audios", "", ".wav")
    for name in EUROPARL_ST:
        write_audio(top / "made/v1.1/fr/audios", name, ".m4a")
        folder = top / "made/v1.1/fr/en" / name
        folder.mkdir(parents=True)
        lines = [f"{recording}{name} {start} {end}\n" for recording, start, end, *_ in SEGMENTS]
        (folder / "segments.lst").write_text("".join(lines))
        for column, lang in ((3, "fr"), (4, "en")):
            rows = [f"{row[column]}\n" for row in SEGMENTS]
            (folder / f"segments.{lang}").write_text("".join(rows), "utf-8")
    pack(top / "made", top / "corpus/v1.1.tar.gz")
    return top / "corpus"


def pack(folder: Path, archive: Path) -> None:
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)


MTEDX = {"train": "train", "valid": "dev", "test": "test"}
MUST_C = {"train": "train", "dev": "dev", "tst-COMMON": "tst-COMMON"}
EUROPARL_ST = {"train": "train", "dev": "dev", "test": "test"}
CORPORA = {
    "mtedx": (write_mtedx, "fr", "en", MTEDX),
    "must_c": (write_must_c, "en", "de", MUST_C),
    "europarl_st": (write_europarl_st, "fr", "en", EUROPARL_ST),
}


def prepare(corpus: str, folder: Path, out: Path, lang: str, target_lang: str):
    return run_tool(
        "prepare_segments", "--corpus", corpus, "--source", folder, "--out", out, "--langs", lang,
        "--target_lang", target_lang, "--nj", 1, "--max_dropped", 0.7, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("corpus", CORPORA)
def test_segments_are_cut_out_and_faults_listed(tmp_path, corpus):
    write, lang, target_lang, names = CORPORA[corpus]
    folder, data = write(tmp_path), tmp_path / "data"
    done = prepare(corpus, folder, data, lang, target_lang)
    assert done.returncode == 0, done.stderr
    assert run_tool("validate_data", data).stdout.count("utterances") == len(names)
    test = list(names.values())[-1]
    train, held_out = data / f"train_{lang}", data / f"{test}_{lang}"
    assert list(kaldi.read_table(train / "text.src").values()) == [
        "Il pleut aujourd'hui.",
        '"Bonjour", dit-il.',
        "Où est la gare ?",
    ]
    assert "(Applause)" in kaldi.read_table(held_out / "text.tgt").values()
    durations = kaldi.read_table(train / "utt2dur").values()
    assert [float(seconds) for seconds in durations] == [1.5, 1.5, 1.5]
    _, *lines = (data / f"dropped_{lang}.tsv").read_text("utf-8").splitlines()
    for line, reason in FAULTS.items():
        assert sum(reason in row for row in lines) == (1 if line in (3, 6) else len(names))
    assert sum("3 to 3 s of a recording of 6.0" in row for row in lines) == len(names) - 1
    assert len(lines) == len(FAULTS) * len(names) - (len(names) - 1)
    assert not list(data.glob(".*unpacked"))


def test_talks_of_the_test_set_are_kept_whole(tmp_path):
    """With the segments in them, so that a talk's translation can be compared with theirs."""
    folder, data = write_must_c(tmp_path), tmp_path / "data"
    prepare("must_c", folder, data, "en", "de")
    talks = data / "talks/tst-COMMON_en"
    recordings = kaldi.read_table(talks / "wav.scp")
    assert [len(read_audio(path)) for path in recordings.values()] == [96000, 96000]
    segments = kaldi.read_table(talks / "segments")
    clips = kaldi.read_table(data / "tst-COMMON_en/wav.scp")
    assert segments.keys() == clips.keys()
    for key, value in segments.items():
        talk, start, end = value.split()
        whole = read_audio(recordings[talk])
        part = whole[round(16000 * float(start)) : round(16000 * float(end))]
        assert np.array_equal(part, read_audio(clips[key]))
    assert not list(data.glob("talks/train*"))


def test_a_damaged_talk_is_left_out_with_its_segments(tmp_path):
    """One is scored by the other; what of it could be cut out doesn't stay alone."""
    folder, data = write_must_c(tmp_path), tmp_path / "data"
    damaged = next(folder.rglob("tst-COMMON/wav/one*.wav"))
    damaged.write_bytes(damaged.read_bytes()[: 5 * 32000])
    done = prepare("must_c", folder, data, "en", "de")
    assert done.returncode == 0, done.stderr
    talks = data / "talks/tst-COMMON_en"
    (talk,) = kaldi.read_table(talks / "wav.scp")
    assert "two" in talk
    segments = kaldi.read_table(talks / "segments")
    assert segments.keys() == kaldi.read_table(data / "tst-COMMON_en/wav.scp").keys()
    assert {value.split()[0] for value in segments.values()} == {talk}
    assert ", of which it is, can't be used" in "".join(
        p.read_text() for p in data.glob("dropped*")
    )
    assert resegment("Some words.", [], "en") == []


def test_what_is_missing_or_of_another_length_is_one_line(tmp_path):
    folder, data = write_must_c(tmp_path), tmp_path / "data"

    def complaint(lang="en", target_lang="de") -> str:
        done = prepare("must_c", folder, data, lang, target_lang)
        assert done.returncode == 1
        assert not list(data.glob("*"))
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        return line

    assert (
        "neither MUSTC_v*_en-fr.tar.gz nor its unpacked content is there; get MuST-C from en to fr"
        in complaint(target_lang="fr")
    )
    text = folder / "MUSTC_v2.0/en-de/data/train/txt/train.de"
    whole = text.read_bytes()
    text.write_bytes(whole.partition(b"\n")[2])
    assert "train.de: 8 lines, but there are 9 segments" in complaint()
    text.unlink()
    assert "train.de: no such file: unpacked in part?" in complaint()
    text.write_bytes(whole)
    table = text.with_suffix(".yaml")
    table.write_text(table.read_text()[:-20])
    assert "train.yaml: no YAML: " in complaint()
    (folder / "MUSTC_v1.0/en-de/data").mkdir(parents=True)
    assert "which of them? Give each a folder of its own" in complaint()


@pytest.mark.parametrize(
    ("texts", "seconds", "fault"),
    [
        (("Il pleut.", "It is raining."), 1.0, None),
        (("♪♪ (Musik) [Applaus]", "Music."), 5.0, "no speech in it"),
        (("(Lachen) Danke.", "(Laughter) Thank you."), 1.0, None),
        (("Oui.", "That is what I have always wanted to say."), 1.0, "over 8 times as long"),
        (("a" * 50, "b" * 50), 1.0, "50 letters in 1.00 s"),
    ],
)
def test_what_training_leaves_out(texts, seconds, fault):
    found = training_fault(texts, seconds)
    assert found is None if fault is None else fault in found
