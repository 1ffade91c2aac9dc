"""One model for several directions: each utterance is translated into a language of its own."""

import json
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import PAIRS, run_tool, write_whisper

from comsl.corpora.kaldi import read_table
from comsl.errors import DataError
from comsl.inference import SpeechTranslator
from comsl.model.language_model import LanguageModel
from comsl.sequences import Sequences

TARGETS = "en it fr"
# Clips, what is said, and its translations; a clip may have two.
ROWS = [
    (f"{source}{number}.flac", source, PAIRS[lang][number][source == "en"], target, translation)
    for lang, source, target in (("fr", "fr", "en"), ("fr", "en", "fr"), ("fr", "fr", "it"))
    for number in range(4)
    for translation in [
        PAIRS["it"][number][0] if target == "it" else PAIRS[lang][number][source != "en"]
    ]
]
SPLITS = ("train", "train", "dev", "test")


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """The sets of stage 2."""
    folder, random = tmp_path_factory.mktemp("many"), np.random.default_rng(0)
    lines = ["audio\tlang\ttranscript\ttarget_lang\ttranslation\tsplit"]
    lines += ["\t".join((*row, SPLITS[int(row[0][2])])) for row in ROWS]
    (folder / "table.tsv").write_text("\n".join(lines) + "\n")
    for audio in {row[0] for row in ROWS}:
        soundfile.write(folder / audio, 0.1 * random.standard_normal(12000), 16000)
    options = ["--tsv", folder / "table.tsv", "--langs", "fr en", "--nj", 1]
    run_tool("prepare_tsv", *options, "--target_lang", TARGETS, "--out", folder / "data")
    options = ["--langs", "fr en", "--nj", 1, "--speed_factors", ""]
    run_tool("prepare_speech", "--data", folder / "data", "--out", folder / "raw", *options)
    return folder / "raw"


@pytest.fixture(scope="module")
def trained(raw, tiny_lm) -> Path:
    """A model of all directions, and its teacher's states beside it."""
    folder = raw.parent
    whisper = write_whisper(folder / "whisper.pt")
    options = ["--language_model", tiny_lm, "--target_lang", TARGETS]
    run_tool("token_lengths", *options, raw / "train", raw / "dev", "--test_set", "test")
    run_tool(
        "extract_teacher",
        *options,
        "--raw",
        raw,
        "--sets",
        "train dev",
        "--out",
        folder / "teacher",
    )
    sets = ["--raw", raw, "--sets", "train dev"]
    run_tool("extract_features", *sets, "--speech_encoder", whisper, "--out", folder / "encoder")
    config = {"speech_encoder": "cached", "speech_encoder_conf": {"input_size": 16}}
    config |= {"batch_type": "numel", "batch_bins": 400, "optim": "adamw", "num_workers": 0}
    config |= {"use_matplotlib": False, "best_model_criterion": [["valid", "ce_st", "min"]]}
    (folder / "train.yaml").write_text(yaml.safe_dump(config))
    run_tool(
        "train", *options, "--config", folder / "train.yaml", "--raw", raw, "--train_set", "train",
        "--encoder", folder / "encoder", "--teacher_states", folder / "teacher",
        "--teacher", tiny_lm, "--speech_encoder_conf", f"model={whisper}", "--max_epoch", 1,
        "--output_dir", folder / "model",
    )  # fmt: skip
    return folder / "model"


def test_every_utterance_has_its_target(raw):
    targets = read_table(raw / "train/utt2target")
    assert len(targets) == 6
    assert {name.rsplit("-", 1)[1] for name in targets} == set(TARGETS.split())
    texts = read_table(raw / "test_fr/text.tgt")
    assert sorted(texts.values()) == sorted([PAIRS["fr"][3][1], PAIRS["it"][3][0]])
    clips = read_table(raw / "test_fr/wav.scp")
    assert len(clips) == 2
    assert len(set(clips.values())) == 1  # one clip, twice


def test_labels_are_in_the_utterances_language(raw, trained, tiny_lm, tokenizer):
    """Those of the cached teacher, and those of training, which has taken its states for its own
    tokens'."""
    states = kaldiio.load_scp(str(trained.parent / "teacher/train/feats.scp"))
    tables = {name: read_table(raw / "train" / name) for name in ("text.src", "text.tgt")}
    lm, langs = LanguageModel(tiny_lm).eval(), read_table(raw / "train/utt2lang")
    for key, target in read_table(raw / "train/utt2target").items():
        x, y = (
            Sequences(torch.tensor([ids]), torch.tensor([len(ids)]))
            for ids in (
                tokenizer.encode(tables["text.src"][key], langs[key]),
                tokenizer.encode(tables["text.tgt"][key], target),
            )
        )
        with torch.no_grad():
            expected = lm.translate(x, y)[0]
        torch.testing.assert_close(torch.tensor(states[key]), expected, atol=1e-4, rtol=0)
    data = yaml.safe_load((trained / "config.yaml").read_text())
    names = [name for _, name, _ in data["train_data_path_and_name_and_type"]]
    assert "target_lang" in names


def test_a_clip_is_encoded_once(raw, trained):
    places = read_table(trained.parent / "encoder/train/feats.scp")
    assert places.keys() == read_table(raw / "train/wav.scp").keys()
    clips = set(read_table(raw / "train/wav.scp").values())
    assert len(set(places.values())) == len(clips) < len(places)


def test_directions_are_decoded_and_scored(raw, trained, tmp_path):
    sets = ["--raw", raw, "--set", "test", "--langs", "fr en"]
    options = ["--model", trained, *sets, "--out", tmp_path / "out"]
    run_tool("decode", *options, "--beam_size", 1, "--max_tokens", 12)
    run_tool("likelihood", *options)
    assert len(read_table(tmp_path / "out/test_fr/nll.st")) == 2
    decoded = read_table(tmp_path / "out/test_fr/text.st", empty_ok=True)
    for key, target in read_table(raw / "test_fr/utt2target").items():
        translator = SpeechTranslator.from_pretrained(trained, target_lang=target)
        wave, _ = soundfile.read(read_table(raw / "test_fr/wav.scp")[key], dtype="float32")
        search = {"beam_size": 1, "max_tokens": 12}
        assert translator.generate("st", [wave], ["fr"], **search) == [decoded[key]]
    run_tool(
        "score", "--recipe", "many", *sets, "--target_lang", TARGETS, "--command", "run.sh",
        "--system", f"comsl={tmp_path / 'out'}", "--out", tmp_path / "report",
    )  # fmt: skip
    results = json.loads((tmp_path / "report/results.json").read_text())
    systems = {system["task"]: system for system in results["systems"]}
    for task in ("st", "mt"):
        assert systems[task]["utterances"] == {"fr_en": 1, "fr_it": 1, "en_fr": 1}
        assert systems[task]["bleu"].keys() >= {"fr_en", "fr_it", "en_fr", "avg", "high"}
    assert systems["asr"]["wer"].keys() >= {"fr", "en", "avg"}
    assert " fr_it |" in (tmp_path / "report/RESULTS.md").read_text()


def test_what_has_no_target_is_refused(raw, trained, tiny_lm, tmp_path):
    with pytest.raises(DataError, match="doesn't translate into 'de', but into: en it fr"):
        SpeechTranslator.from_pretrained(trained, target_lang="de")
    options = ["--language_model", tiny_lm, "--target_lang"]
    refused = run_tool("token_lengths", *options, "en de", raw / "dev", check=False)
    assert refused.stderr.splitlines()[-1].endswith("and --target_lang is 'en de'")
    (raw / "dev/utt2target").rename(tmp_path / "away")
    refused = run_tool("token_lengths", *options, TARGETS, raw / "dev", check=False)
    (tmp_path / "away").rename(raw / "dev/utt2target")
    assert "dev/utt2target: no such file; it says into which of" in refused.stderr
