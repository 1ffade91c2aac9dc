"""Work split over jobs: as many as there are, they make what one makes, by the real commands."""

import shlex
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
from conftest import PAIRS, run_tool, write_whisper
from test_similarity import words_of, write_experiment

from comsl.corpora import kaldi
from comsl.encoders.whisper import WhisperEncoder
from comsl.evaluation.word_alignment import write_ctm
from comsl.inference import SpeechTranslator
from comsl.model.adapter import Adapter
from comsl.model.composite import ComSLModel
from comsl.model.language_model import LanguageModel
from comsl.model.settings import Settings
from comsl.parts import Job, join

DIMS = {"n_mels": 80, "n_ctx": 1500, "n_state": 16, "n_head": 2, "n_layer": 1}
SETS = ("test_fr", "test_it")
FURTHER = "test test_other"  # the second in Italian alone
COMMANDS = {
    "decode": "--model {experiment} --raw {raw} --langs 'fr it' --beam_size 2 --batch_size 2"
    " --max_tokens 12",
    "likelihood": "--model {experiment} --raw {raw} --langs 'fr it'",
    "extract_features": "--raw {raw} --sets 'test_fr test_it' --speech_encoder {whisper}"
    " --shard_utts 2 --batch_seconds 4",
    "extract_teacher": "--raw {raw} --sets 'test_fr test_it' --language_model {lm} --shard_utts 3",
    "translate_text": "--model {lm_train} --raw {raw} --data {raw}/new_fr {raw}/new_it",
    "decode_whisper": f"--raw {{raw}} --set '{FURTHER}' --langs 'fr it'"
    " --whisper_model {whisper} --beam_size 2 --batch_size 2",
    "align_words": "--raw {raw} --langs 'fr it' --whisper_model {whisper}",
    "similarity": "--model {experiment} --compare_with {experiment} --raw {raw} --langs 'fr it'"
    " --alignment {alignment}",
}


def write_set(folder: Path, lang: str, texts: dict[str, tuple[str, str]], translated=True) -> None:
    """A set of noise, of half a second to a second and a half."""
    generator = np.random.default_rng(len(folder.name) + len(texts))
    waves = {}
    for key in texts:
        waves[key] = str(folder.parent / "wav" / f"{folder.name}-{key}.flac")
        Path(waves[key]).parent.mkdir(parents=True, exist_ok=True)
        samples = 0.1 * generator.standard_normal(generator.integers(8000, 24000))
        soundfile.write(waves[key], samples, 16000)
    tables = {
        "wav.scp": waves,
        "utt2spk": {key: key[:4] for key in texts},
        "utt2dur": dict.fromkeys(texts, "1.0"),
        "utt2lang": dict.fromkeys(texts, lang),
        "text.src": {key: source for key, (source, _) in texts.items()},
    }
    if translated:
        tables["text.tgt"] = {key: target for key, (_, target) in texts.items()}
    kaldi.write_dir(folder, tables)


@pytest.fixture(scope="module")
def places(tmp_path_factory, tiny_lm, language_model) -> dict[str, Path]:
    """What the commands read, by its name in COMMANDS."""
    top = tmp_path_factory.mktemp("places")
    raw = top / "raw"
    for number, (lang, pairs) in enumerate(PAIRS.items()):
        texts = {f"{lang}_{'ab'[i % 2]}-{i}": pair for i, pair in enumerate(pairs * 2, start=1)}
        texts.popitem()  # an odd number
        write_set(raw / f"test_{lang}", lang, texts)
        known = {f"{lang}_k-1": (f"Phrase {number}", f"Sentence {number}.")}
        for name in ("dev", "train"):
            write_set(raw / name, lang, known)
        new = {f"{lang}_n-{i}": (f"{i} {source[:12]}", "") for i, (source, _) in enumerate(pairs)}
        write_set(raw / f"new_{lang}", lang, new | {f"{lang}_n-9": pairs[0]}, translated=False)
        words = {key: words_of(source, 0.5) for key, (source, _) in texts.items()}
        write_ctm(top / f"alignment/test_{lang}/words.ctm", words)
    tests = [kaldi.read_dir(raw / f"test_{lang}") for lang in PAIRS]
    kaldi.write_dir(raw / "test", kaldi.combine(tests))
    other = {f"it_c-{i}": pair for i, pair in enumerate(PAIRS["it"][:2])}
    write_set(raw / "test_other_it", "it", other)
    from comsl.tokenizer import Tokenizer

    torch.manual_seed(2)
    parts = LanguageModel(tiny_lm), Tokenizer(tiny_lm), WhisperEncoder(dims=DIMS), Adapter(16, 32)
    write_experiment(
        top / "experiment", ComSLModel(*parts, settings=Settings(alpha_mt=0.0)), tiny_lm
    )
    whisper = write_whisper(top / "whisper.pt")
    named = {"raw": raw, "experiment": top / "experiment", "whisper": whisper, "lm": tiny_lm}
    return named | {"lm_train": language_model, "alignment": top / "alignment"}


@pytest.fixture
def run(places):
    """Calls a command; returns its last line on stderr, empty where it succeeds."""

    def call(tool: str, out: Path, *options: object) -> str:
        words = shlex.split(COMMANDS.get(tool, "").format(**places))
        done = run_tool(tool, *words, "--out", out, *options, check=False)
        return done.stderr.splitlines()[-1] if done.returncode else ""

    return call


def content(out: Path) -> dict[str, object]:
    """What is in a folder, wherever it is: of arks the states."""
    found = {}
    for file in sorted(out.rglob("*")):
        name = str(file.relative_to(out))
        if file.name == "feats.scp":
            states = kaldiio.load_scp(str(file))
            found |= {f"{name} {key}": states[key] for key in states}
        elif file.suffix == ".npz":
            with np.load(file) as arrays:
                found |= {f"{name} {key}": arrays[key] for key in arrays.files}
        elif file.is_file() and file.suffix != ".ark":
            found[name] = file.read_text("utf-8")
    return found


def check_same(out: Path, expected: Path) -> None:
    found, expected = content(out), content(expected)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, str):
            assert found[name] == value, name
        elif value.dtype.kind == "f":
            np.testing.assert_allclose(found[name], value, atol=2e-4, err_msg=name)
        else:
            assert (found[name] == value).all(), name


@pytest.mark.parametrize("tool", COMMANDS)
def test_two_jobs_make_what_one_makes(tool, run, tmp_path):
    """Whichever comes first, and nothing else is left behind."""
    one, two = tmp_path / "one", tmp_path / "two"
    options = ["--set", FURTHER] if tool in ("decode", "likelihood") else []
    assert run(tool, one, *options) == ""
    for job in (2, 1):
        assert run(tool, two, *options, "--job", job, "--num_jobs", 2) == ""
        if job == 2:
            complaint = run("join_parts", two, "--num_jobs", 2)
            assert complaint == f"error: {two}/parts: no whole part of job 1 of 2: run it again"
    assert run("join_parts", two, "--num_jobs", 2) == ""
    check_same(two, one)
    assert len(content(one)) > 1
    asked = FURTHER in options or FURTHER in COMMANDS[tool]
    assert any(name.startswith("test_other_it/") for name in content(one)) == asked
    assert not (two / "parts").exists()
    for scp in two.rglob("feats.scp"):
        arks = {Path(place.rpartition(":")[0]) for place in kaldi.read_table(scp).values()}
        assert arks == set(scp.parent.glob("*.ark"))


def test_shares_are_alike_and_do_not_depend_on_the_order():
    lengths = {f"u{i}": length for i, length in enumerate([9, 1, 7, 7, 3, 30, 2, 8, 8, 5])}
    shares = [Job(number, 3).share(lengths) for number in (1, 2, 3)]
    assert sorted(key for share in shares for key in share) == sorted(lengths)
    totals = [sum(lengths[key] for key in share) for share in shares]
    assert max(totals) - min(totals) <= 30
    backwards = dict(reversed(lengths.items()))
    assert [Job(number, 3).share(backwards) for number in (1, 2, 3)] == shares
    assert [Job(number, 12).share(lengths) for number in (11, 12)] == [[], []]


def test_an_interrupted_part_alone_is_redone(run, tmp_path, monkeypatch):
    """And goes on where it was; a whole one is left alone, one of other options is made anew."""
    one, two = tmp_path / "one", tmp_path / "two"
    run("decode", one, "--tasks", "st")
    jobs = "decode", two, "--tasks", "st", "--num_jobs", 2, "--job"
    decoded = []
    generate = SpeechTranslator._generate

    def interrupted(self, task, inputs, *rest, **search):
        if len(decoded) == 2:
            raise KeyboardInterrupt
        decoded.append(len(inputs))
        return generate(self, task, inputs, *rest, **search)

    run(*jobs, 1)
    monkeypatch.setattr(SpeechTranslator, "_generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(*jobs, 2)
    assert "job 2 of 2" in run("join_parts", two, "--num_jobs", 2)
    decoded.clear()
    run(*jobs, 1)
    assert decoded == []
    run(*jobs, 2)  # 7 utterances of 14, of which 4 are there
    assert decoded == [2, 1]
    run("join_parts", two, "--num_jobs", 2)
    check_same(two, one)

    monkeypatch.setattr(SpeechTranslator, "_generate", generate)
    run(*jobs, 1)
    run(*jobs, 2, "--beam_size", 1)
    complaint = run("join_parts", two, "--num_jobs", 2)
    assert complaint.startswith(
        f"error: {two}/parts: 2 made from other files or options than part 1"
    )
    run(*jobs, 2)
    assert run("join_parts", two, "--num_jobs", 2) == ""
    check_same(two, one)


def test_joining_that_was_interrupted_goes_on(run, tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    run("extract_teacher", one)
    for job in (1, 2):
        run("extract_teacher", two, "--job", job, "--num_jobs", 2)

    def full(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("comsl.parts.atomic_file", full)
        with pytest.raises(OSError, match="no space"):
            join(two, 2)
    assert run("join_parts", two, "--num_jobs", 2) == ""
    check_same(two, one)


def test_bad_numbers_and_devices(run, tmp_path, monkeypatch):
    out = tmp_path / "out"
    complaint = run("likelihood", out, "--job", 3, "--num_jobs", 2)
    assert complaint == "error: --job 3: jobs are numbered from 1 to --num_jobs 2"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "there is no GPU to be seen here" in run("likelihood", out, "--ngpu", 1)
    assert not out.exists()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [Job(number, 4).device(1) for number in (1, 2, 3, 4)] == ["cuda:0", "cuda:1"] * 2
    assert Job(4, 4).device(0) == "cpu"
