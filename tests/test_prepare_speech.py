"""Stage 2, through its command: conversion, filters with reasons, copies at other speeds."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from conftest import run_tool

from comsl.corpora import kaldi


def tone(seconds: float, rate: int = 16000) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)


def write_set(folder: Path, audio: dict[str, Path], **changes: dict[str, str]) -> None:
    """A French set; `changes` are by field (`text_src`), a value of "" leaves nothing there."""
    tables = {
        "wav.scp": {utterance: str(path) for utterance, path in audio.items()},
        "utt2spk": dict.fromkeys(audio, "fr_a"),
        "utt2dur": dict.fromkeys(audio, "1.0"),
        "utt2lang": dict.fromkeys(audio, "fr"),
        "text.src": dict.fromkeys(audio, "bonjour"),
        "text.tgt": dict.fromkeys(audio, "hello"),
    }
    for field, change in changes.items():
        tables[field.replace("_", ".")] |= change
    kaldi.write_dir(folder, tables)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Train of five good clips, dev and test of one each."""
    audio = {}
    for number in range(5):
        audio[f"fr_a-{number}"] = tmp_path / f"{number}.flac"
        soundfile.write(audio[f"fr_a-{number}"], tone(1), 16000)
    write_set(tmp_path / "data" / "train_fr", audio)
    for name in ("dev", "test"):
        write_set(tmp_path / "data" / f"{name}_fr", {f"fr_a-{name}": audio["fr_a-0"]})
    return tmp_path / "data"


def prepare(data: Path, *options, check: bool = True):
    """Run the stage on `data`; its output is in <data's parent>/dump/raw."""
    return run_tool(
        "prepare_speech", "--data", data, "--out", data.parent / "dump" / "raw", "--langs", "fr",
        "--nj", 2, *options, check=check,
    )  # fmt: skip


def out(data: Path, path: str) -> dict[str, str]:
    return kaldi.read_table(data.parent / "dump" / "raw" / path)


def reasons(data: Path) -> dict[str, str]:
    lines = (data.parent / "dump" / "raw" / "dropped.tsv").read_text().splitlines()
    return {row[0]: row[2] for row in (line.split("\t") for line in lines[1:])}


def test_ready_audio_stays_in_place(data: Path) -> None:
    prepare(data)
    assert out(data, "train_fr/wav.scp") == kaldi.read_table(data / "train_fr" / "wav.scp")
    assert set(out(data, "train/utt2num_samples").values()) == {"16000"}
    assert out(data, "dev/text.tgt") == {"fr_a-dev": "hello"}
    assert kaldi.validate_dir(data.parent / "dump/raw/test_fr") == 1
    assert not (data.parent / "dump" / "audio").exists()
    assert reasons(data) == {}


def test_any_rate_and_channels_become_16_khz_mono(data: Path, tmp_path: Path) -> None:
    stereo = np.stack([tone(1, 44100), np.zeros(44100)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, 44100)
    soundfile.write(tmp_path / "narrow.mp3", tone(1, 8000), 8000)
    with av.open(str(tmp_path / "raw.g722"), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16000, layout="mono")
        pcm = (tone(1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    names = ("stereo.wav", "narrow.mp3", "raw.g722")
    write_set(data / "test_fr", {f"fr_a-{name}": tmp_path / name for name in names})
    prepare(data)
    for utterance, path in out(data, "test_fr/wav.scp").items():
        samples, rate = soundfile.read(path)
        assert samples.ndim == 1
        assert rate == 16000
        assert len(samples) == int(out(data, "test_fr/utt2num_samples")[utterance])
        assert len(samples) / rate == pytest.approx(1, abs=0.1)
        spectrum = np.abs(np.fft.rfft(samples[:16000]))
        assert np.argmax(spectrum) == pytest.approx(440, abs=5)


def test_speed_perturbation_is_for_training_alone(data: Path) -> None:
    prepare(data, "--speed_factors", "0.9 1.0 1.1")
    durations = out(data, "train_fr/utt2dur")
    assert len(durations) == 15
    assert durations["fr_a-0"] == "1.000"
    assert durations["sp0.9-fr_a-0"] == "1.111"
    assert durations["sp1.1-fr_a-0"] == "0.909"
    assert out(data, "train_fr/utt2spk")["sp0.9-fr_a-0"] == "sp0.9-fr_a"
    samples, _ = soundfile.read(out(data, "train_fr/wav.scp")["sp1.1-fr_a-0"])
    assert np.argmax(np.abs(np.fft.rfft(samples))) / len(samples) * 16000 == pytest.approx(
        484, abs=2
    )
    assert list(out(data, "dev_fr/utt2dur")) == ["fr_a-dev"]
    assert kaldi.validate_dir(data.parent / "dump/raw/train") == 15


def test_augmented_copies_are_for_training_alone_and_the_same_each_time(data: Path) -> None:
    prepare(data, "--augmented_copies", 2)
    files = out(data, "train_fr/wav.scp")
    assert len(files) == 15
    clean, one, other = (soundfile.read(files[f"{copy}fr_a-0"])[0] for copy in ("", "au1-", "au2-"))
    assert len(clean) == len(one) == len(other)
    assert not np.allclose(clean, one, atol=0.01)
    assert not np.allclose(one, other, atol=0.01)
    Path(files["au1-fr_a-0"]).unlink()
    prepare(data, "--augmented_copies", 2)
    assert np.array_equal(soundfile.read(files["au1-fr_a-0"])[0], one)
    assert list(out(data, "dev_fr/utt2dur")) == ["fr_a-dev"]


def test_unusable_utterances_are_dropped_with_reasons(data: Path, tmp_path: Path) -> None:
    names = ("silent", "empty", "broken", "truncated", "missing", "short", "long", "nan", "blank")
    audio = {f"fr_a-{name}": tmp_path / f"{name}.flac" for name in names}
    for path in audio.values():
        soundfile.write(path, tone(1), 16000)
    soundfile.write(audio["fr_a-silent"], np.zeros(16000), 16000)
    audio["fr_a-empty"] = tmp_path / "empty.wav"
    soundfile.write(audio["fr_a-empty"], np.zeros(0), 16000)
    soundfile.write(audio["fr_a-short"], tone(0.05), 16000)
    soundfile.write(audio["fr_a-long"], tone(31), 16000)
    audio["fr_a-broken"].write_bytes(b"no audio at all")
    audio["fr_a-truncated"].write_bytes(audio["fr_a-truncated"].read_bytes()[:9000])
    soundfile.write(tmp_path / "cut.wav", tone(1), 16000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:9000])
    audio["fr_a-cut"] = tmp_path / "cut.wav"
    audio["fr_a-missing"].unlink()
    audio["fr_a-good"] = tmp_path / "0.flac"
    write_set(
        data / "dev_fr", audio,
        text_src={"fr_a-nan": "NaN"}, text_tgt={"fr_a-blank": "", "fr_a-no-audio": "hello"},
        utt2dur={"fr_a-short": "0.05"},
    )  # fmt: skip
    prepare(data, "--max_dropped", 0.9)
    found = reasons(data)
    assert list(out(data, "dev_fr/wav.scp")) == ["fr_a-good"]
    for utterance, reason in {
        "fr_a-silent": "silent audio of 1.00 s",
        "fr_a-empty": "zero-length audio",
        "fr_a-broken": "no audio in",
        "fr_a-truncated": "can't be read",
        "fr_a-cut": "truncated audio: 0.28 s of 1.00 s",
        "fr_a-missing": "no audio file",
        "fr_a-short": "0.05 s long; 0.1 to 30 s are kept",
        "fr_a-long": "over 30 s long",
        "fr_a-nan": "text.src: empty text 'NaN'",
        "fr_a-blank": "nothing in text.tgt",
        "fr_a-no-audio": "nothing in wav.scp",
    }.items():
        assert reason in found.pop(utterance)
    assert not found


def test_too_many_dropped_is_an_error_and_writes_nothing(data: Path) -> None:
    (data.parent / "1.flac").write_bytes(b"")
    result = prepare(data, check=False)
    assert result.returncode == 1
    line = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "1 of 7 utterances can't be used, more than the 5% of --max_dropped" in line[0]
    assert "fr_a-1 (" in line[0]
    assert not (data.parent / "dump" / "raw").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--langs", "xx"], "unknown language code 'xx'"),
        (["--langs", "it"], "no set in 'it' (train_it ...); run stage 1"),
        (["--min_duration", "2"], "7 of 7 utterances can't be used"),
        (["--min_duration", "2", "--max_dropped", "1"], "no utterance of dev_fr is left"),
        (["--speed_factors", "fast"], "--speed_factors 'fast'"),
        (["--nj", "0"], "--nj 0: at least one process"),
    ],
)
def test_wrong_options_end_in_one_line(data: Path, options: list[str], complaint: str) -> None:
    result = prepare(data, *options, check=False)
    assert result.returncode == 1
    assert complaint in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("error: ")


def test_converted_audio_is_used_again(data: Path) -> None:
    prepare(data, "--speed_factors", "0.9")
    path = Path(out(data, "train_fr/wav.scp")["sp0.9-fr_a-0"])
    before = path.stat().st_mtime_ns
    prepare(data, "--speed_factors", "0.9")
    assert path.stat().st_mtime_ns == before
    soundfile.write(data.parent / "0.flac", tone(0.5), 16000)
    os.utime(data.parent / "0.flac", (1, 1))  # as copies and archives keep their times
    kaldi.write_table(data / "train_fr/utt2dur", dict.fromkeys(out(data, "train_fr/text.src"), "1"))
    tables = kaldi.read_dir(data / "train_fr")
    kaldi.write_table(data / "train_fr/utt2dur", dict.fromkeys(tables["wav.scp"], "0.5"))
    kaldi.write_table(data / "dev_fr/utt2dur", {"fr_a-dev": "0.5"})
    kaldi.write_table(data / "test_fr/utt2dur", {"fr_a-test": "0.5"})
    prepare(data, "--speed_factors", "0.9")
    assert out(data, "train_fr/utt2dur")["sp0.9-fr_a-0"] == "0.556"


def test_validate_data_checks_every_set(data: Path) -> None:
    result = run_tool("validate_data", data)
    assert result.stdout.splitlines()[-1] == f"{data}/train_fr: 5 utterances"
    kaldi.write_table(data / "dev_fr/text.tgt", {"fr_a-dev": "nan"})
    result = run_tool("validate_data", data, check=False)
    assert result.returncode == 1
    assert "dev_fr/text.tgt: fr_a-dev: empty text 'nan'" in result.stderr
    result = run_tool("validate_data", data / "nowhere", check=False)
    assert result.stderr.startswith(f"error: {data}/nowhere: no Kaldi-style directory")
    assert result.returncode == 1


@pytest.mark.parametrize(
    ("field", "content", "complaint"),
    [
        ("text.src", b"", "text.src: empty file"),
        ("text.src", b"fr_a-dev \xe9t\xe9\n", "text.src:1: not UTF-8"),
        ("text.tgt", b"fr_a-other hello\n", "'fr_a-dev' is in wav.scp but not in text.tgt"),
        ("utt2lang", b"fr_a-dev xx\n", "utt2lang: fr_a-dev: unknown language code 'xx'"),
        ("wav.scp", b"fr_a-dev gone.flac\n", "wav.scp: fr_a-dev: no audio file 'gone.flac'"),
    ],
)
def test_validate_data_names_the_fault(data, field: str, content: bytes, complaint: str) -> None:
    (data / "dev_fr" / field).write_bytes(content)
    result = run_tool("validate_data", data, check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert complaint in result.stderr


def test_sets_may_have_any_name(data):
    """`tst-COMMON`, and one whose name ends like a language: each by language and as a whole; only
    what is trained on gets copies at other speeds."""
    clip = {"fr_a-x": data.parent / "0.flac"}
    for name in ("tst-COMMON", "test_it", "train_extra"):
        write_set(data / f"{name}_fr", clip)
    prepare(data, "--speed_factors", "0.9")
    for name in ("tst-COMMON", "test_it", "train_extra"):
        for folder in (f"{name}_fr", name):
            assert out(data, f"{folder}/utt2lang") == {"fr_a-x": "fr"}
    assert len(out(data, "train/utt2lang")) == 10
