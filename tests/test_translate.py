"""`comsl translate` and `comsl transcribe`, as they are typed."""

import argparse
import io
import json
import os
import sys
from pathlib import Path
from threading import Thread

import numpy as np
import pysubs2
import pytest
import soundfile
import torch
import yaml
from conftest import call, write_whisper
from real_speech import prompts

from comsl.__main__ import main
from comsl.inference import SpeechTranslator
from comsl.serving import command_line

RATE, GAP = 16000, 60  # samples a second; seconds
DIMS = {"n_mels": 80, "n_ctx": 1500, "n_state": 16, "n_head": 2, "n_layer": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_lm) -> Path:
    """An experiment of random weights, trained on French and Italian of up to ten seconds."""
    from comsl.model.build import build_model

    folder = tmp_path_factory.mktemp("model")
    config = {
        "language_model": str(tiny_lm), "language_model_conf": {"from_scratch": False},
        "speech_encoder": "whisper", "speech_encoder_conf": {"dims": DIMS},
        "speech_adapter_conf": {}, "model_conf": {"alpha_mt": 0.0}, "teacher": None,
        "target_lang": "en", "best_model_criterion": [["valid", "loss", "min"]],
        "trained_on": {"languages": ["fr", "it"], "longest": 10.0},
    }  # fmt: skip
    torch.manual_seed(0)
    weights = build_model(argparse.Namespace(**config)).state_dict()
    torch.save(weights, folder / "valid.loss.ave.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def whisper(tmp_path_factory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "tiny.pt")


@pytest.fixture(scope="module")
def talks(tmp_path_factory) -> Path:
    """A folder: a recording of two sentences with a minute of silence between them and one of noise
    at -80 dBFS after them, one of a sentence, a silent one, and a text."""
    folder = tmp_path_factory.mktemp("talks")
    one, two, three = prompts()[:3]
    noise = np.random.default_rng(0).normal(scale=1e-4, size=GAP * RATE)
    both = np.concatenate([one, 0 * noise, two, noise])
    soundfile.write(folder / "two.flac", both, RATE)
    (folder / "deep er").mkdir()
    soundfile.write(folder / "deep er" / "one.WAV", three, RATE)
    soundfile.write(folder / "silent.ogg", 0 * one, RATE)
    (folder / "notes.txt").write_text("not audio")
    return folder


def test_a_folder_becomes_a_folder_of_texts(model, whisper, talks, tmp_path):
    options = ("--model", model, "--whisper_model", whisper, "--output_dir", tmp_path)
    for form in command_line.FORMATS:
        done = call(main, "translate", talks, *options, "--format", form, "--beam_size", 2)
        assert (done.returncode, done.stdout) == (0, "")
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    names = ("two", "deep er/one", "silent")
    assert written == {f"{name}.{form}" for name in names for form in command_line.FORMATS}

    found = json.loads((tmp_path / "two.json").read_text())
    assert found["file"] == str(talks / "two.flac")
    assert found["duration"] == pytest.approx(2 * GAP + 10.45, abs=0.01)
    assert found["detected"]
    assert found["language"] in ("fr", "it")
    assert found["text_language"] == "en"
    first, second = found["segments"]
    assert first["end"] == pytest.approx(len(prompts()[0]) / RATE, abs=0.3)
    assert second["start"] == pytest.approx(len(prompts()[0]) / RATE + GAP, abs=0.3)
    assert found["text"] == f"{first['text']} {second['text']}"
    assert (tmp_path / "two.txt").read_text() == f"{first['text']}\n{second['text']}\n"
    rows = (tmp_path / "two.tsv").read_text().splitlines()
    assert rows[0] == "start\tend\ttext"
    assert rows[1].split("\t")[2] == first["text"]
    for form in ("srt", "vtt"):
        cues = pysubs2.load(str(tmp_path / f"two.{form}"))
        assert cues[0].start == round(1000 * first["start"])
        assert " ".join(cue.plaintext.replace("\n", " ") for cue in cues) == found["text"]
    assert (tmp_path / "silent.txt").read_text() == ""
    assert json.loads((tmp_path / "silent.json").read_text())["language"] is None


def test_what_is_printed_and_what_is_said_of_it(model, talks, tmp_path, monkeypatch):
    """Texts on stdout, under their names where there are several; all else on stderr."""
    options = ("--model", model, "--lang", "fr", "--beam_size", 1)
    data = (talks / "deep er" / "one.WAV").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    piped = call(main, "transcribe", "-", *options, "--format", "json")
    found = json.loads(piped.stdout)
    assert (found["file"], found["language"], found["text_language"]) == ("stdin", "fr", "fr")
    assert not found["detected"]
    pipe = tmp_path / "a pipe\n.wav"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    again = json.loads(call(main, "transcribe", pipe, *options, "--format", "json").stdout)
    writer.join()
    assert again == found | {"file": f"{tmp_path}/a pipe .wav"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"no audio")))
    refused = call(main, "transcribe", "-", *options)
    assert "error: audio file 'stdin' can't be read: Invalid data" in refused.stderr
    several = call(main, "transcribe", talks / "deep er", talks / "silent.ogg", *options)
    assert several.stdout == (
        f"==> {talks}/deep er/one.WAV <==\n{found['text']}\n\n==> {talks}/silent.ogg <==\n\n"
    )
    assert "French (as told), 0:05" in several.stderr
    assert "nobody speaks in its 0:05" in several.stderr
    assert "2 of 2 recordings, 10.6 s of audio in " in several.stderr
    assert "; real-time factor 0." in several.stderr


def test_a_bad_recording_is_one_line_and_ends_no_other(model, talks, tmp_path, monkeypatch):
    empty, text = tmp_path / "empty.wav", talks / "notes.txt"
    empty.touch()
    header = tmp_path / "header.wav"
    soundfile.write(header, np.zeros(0), RATE)
    good, absent = talks / "deep er" / "one.WAV", tmp_path / "absent.mp3"
    options = ("--model", model, "--lang", "fr", "--beam_size", 1)
    files = (absent, text, good, empty, header)
    done = call(main, "translate", *files, *options, "--output_dir", tmp_path / "out")
    assert done.returncode == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one.txt"]
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 4
    for path, error in zip((absent, text, empty, header), errors, strict=True):
        assert str(path) in error
    assert "1 of 5 recordings" in done.stderr

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    done = call(main, "translate", talks, *options, "--output_dir", tmp_path / "full")
    assert done.returncode == 1
    assert done.stderr.count("error: [Errno 28] No space left on device") == 3
    assert not [path for path in (tmp_path / "full").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("options", "status", "complaint"),
    [
        ("--lang xx", 1, "unknown language code 'xx'"),
        ("--lang ru", 1, "'ru' isn't one of the model's: fr it"),
        ("--target_lang de", 1, "doesn't translate into 'de', but into: en"),
        ("--target_lang de --system whisper", 1, "English only, not into 'de'"),
        ("--dtype int8 --system whisper", 1, "--dtype int8 is for ComSL's model"),
        ("--output_dir README.md", 1, "README.md"),
        ("--format doc", 2, "invalid choice: 'doc'"),
        ("--system gtp", 2, "invalid choice: 'gtp'"),
        ("--beam_size 0", 1, "--beam_size 0: at least 1"),
        ("--device quantum", 1, "--device quantum: "),
        ("--model tests/conftest.py", 1, "tests/"),
        ("--model no/such", 1, "no/such"),
        ("--model tests", 1, "tests"),
        ("--lang fr --whisper_model x --system whisper", 1, "Whisper 'x' is neither"),
        ("--format srt tests/conftest.py", 1, "give --output_dir a folder"),
        ("--output_dir x README.md docs/README.md", 1, "would have the same name"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(model, talks, options, status, complaint):
    options = options.split()
    defaults = [] if "--model" in options else ["--model", model]
    done = call(main, "translate", talks / "two.flac", *defaults, *options)
    assert (done.returncode, done.stdout) == (status, "")
    (line,) = [line for line in done.stderr.splitlines() if "error: " in line]
    assert complaint in line


def test_a_cascade_translates_what_whisper_hears(model, whisper, talks):
    def said(command: str, system: str) -> str:
        options = ("--model", model, "--whisper_model", whisper, "--lang", "fr", "--beam_size", 2)
        done = call(main, command, talks / "deep er", "--system", system, "--format=json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["text"]

    transcript = said("transcribe", "whisper")
    assert transcript
    assert said("transcribe", "cascade") == transcript
    translator = SpeechTranslator.from_pretrained(model)
    assert said("translate", "cascade") == translator.translate_text(transcript, "fr", beam_size=2)


def test_a_folder_without_recordings(tmp_path):
    done = call(main, "translate", tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        f"error: no recordings in the folder '{tmp_path}'\n",
    )


def test_whisper_hears_what_is_said_and_when(talks):
    """The published weights: the language of a real recording, its words, its times."""
    done = call(
        main, "transcribe", talks / "two.flac", "--system=whisper", "--beam_size=1", "--format=json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["language"], found["detected"]) == ("fr", True)
    first, second = found["segments"]
    assert "appuyer sur un" in first["text"]
    assert "vérifier le numéro" in second["text"]
    assert second["start"] == pytest.approx(len(prompts()[0]) / RATE + GAP, abs=0.3)
