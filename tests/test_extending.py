"""The worked examples of docs/extending.md do what the page says. The encoder's test is
test_new_encoder.py."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import PAIRS, ROOT, TINY_MBART, call, run_tool
from mean_distance import mean_distance
from test_model import OFF, build

from comsl.corpora.kaldi import read_table
from comsl.model import language_model, settings
from comsl.model.language_model import LanguageModel
from comsl.model.objectives.representation import REPRESENTATION_LOSSES, RepresentationLoss
from comsl.sequences import Sequences
from comsl.tokenizer import Tokenizer


def load(file: Path):
    """A module of a file, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_loss(tiny_lm, tokenizer, batch, monkeypatch):
    """One function and one line of the table, and `w_mean` is a setting."""
    model = build(tiny_lm, tokenizer, **(OFF | {"w_asr": 1.0}))
    (line,) = re.findall('^ *("mean": .*)', (ROOT / "docs/extending.md").read_text(), re.MULTILINE)
    known = {"RepresentationLoss": RepresentationLoss, "mean_distance": mean_distance}
    monkeypatch.setitem(REPRESENTATION_LOSSES, "mean", eval(f"{{{line}}}", known)["mean"])
    longer = load(Path(settings.__file__)).Settings(**(OFF | {"w_asr": 1.0, "w_mean": 0.5}))
    args = (model.language_model, tokenizer, model.speech_encoder, model.adapter)
    loss, stats, _ = type(model)(*args, settings=longer).eval()(**batch)
    expected = 0
    for row in range(4):
        n, m = (int(batch[f"{name}_lengths"][row]) for name in ("speech", "source"))
        states = batch["speech"][row : row + 1, :n], torch.tensor([n])
        speech = model.adapter(Sequences(*states)).values[0].mean(0)
        text = model.language_model.embed(batch["source"][row, None, :m])[0].mean(0)
        expected += 1 - (speech @ text) / (speech.norm() * text.norm())
    torch.testing.assert_close(stats["loss_mean"][0], expected.detach() / 4)
    torch.testing.assert_close(loss - stats["loss_asr"][0], 0.5 * expected / 4)


def write_bart(folder: Path) -> Path:
    """A random tiny BART with its byte-level tokenizer, as facebook/bart-base is published."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import BartConfig, BartForConditionalGeneration, BartTokenizer

    texts = [text for pairs in PAIRS.values() for pair in pairs for text in pair]
    pieces = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces.train_from_iterator(texts, 400, special_tokens=special, show_progress=False)
    model = json.loads(pieces._tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    BartTokenizer(vocab=model["vocab"], merges=merges).save_pretrained(folder)
    torch.manual_seed(0)
    config = BartConfig(**TINY_MBART, vocab_size=len(model["vocab"]))
    BartForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_a_language_model(tmp_path, monkeypatch):
    """Its type in FAMILIES is enough for BART: what it lacks of languages is added."""
    published = write_bart(tmp_path / "bart")
    options = ("--language_model", published, "--langs", "fr en", "--out", tmp_path / "lm")
    refused = run_tool("add_languages", *options, check=False)
    assert "a bart, and language blocks can be: mbart" in refused.stderr
    monkeypatch.setattr(language_model, "FAMILIES", (*language_model.FAMILIES, "bart"))
    run_tool("add_languages", *options)
    tokenizer, model = Tokenizer(tmp_path / "lm"), LanguageModel(tmp_path / "lm").eval()
    text, translation = PAIRS["fr"][0]
    rows = [torch.tensor([tokenizer.encode(*pair)]) for pair in ((text, "fr"), (translation, "en"))]
    x, y = (Sequences(row, torch.tensor([row.size(1)])) for row in rows)
    logits = model.head.log_softmax(model.translate(x, y)[0])
    start = torch.cat([y.values.new_full((1, 1), tokenizer.eos_id), y.values[:, :-1]], dim=1)
    theirs = model.mbart(input_ids=x.values, decoder_input_ids=start).logits[0]
    torch.testing.assert_close(logits, theirs.log_softmax(-1))
    memory, _ = model.encode(Sequences(model.embed(x.values), x.lengths))
    (found,) = model.generate(memory, y.values[:, 0], beam_size=2, max_tokens=5)
    assert found[:2] == [tokenizer.eos_id, tokenizer.code("en")]
    assert tokenizer.decode(tokenizer.encode(text, "fr")) == text


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Four clips, of which the last is silent."""
    folder = tmp_path / "corpus"
    (folder / "clips").mkdir(parents=True)
    rows = []
    for number, name in enumerate(("train", "dev", "test", "train"), start=1):
        wave = np.sin(2 * np.pi * 110 * number * np.arange(16000) / 16000) * (number < 4)
        soundfile.write(folder / f"clips/{number}.wav", 0.3 * wave, 16000)
        rows.append(f"{number}.wav|Anne|{name}|Il pleut {number} fois.|It rains {number} times.\n")
    (folder / "metadata.csv").write_text("".join(rows))
    return folder


def test_a_corpus(corpus, tmp_path):
    """What its script writes is what stage 1 wants; a clip that can't be used has its reason."""
    prepare = load(ROOT / "docs/examples/corpus/local/prepare.py").main
    options = ("--corpus", corpus, "--langs", "fr", "--out", tmp_path / "data", "--nj", "1")
    refused = call(prepare, *options)
    assert refused.returncode == 1
    assert "1 of 4 utterances can't be used" in refused.stderr
    done = call(prepare, *options, "--max_dropped", "0.5")
    assert done.returncode == 0, done.stderr
    assert run_tool("validate_data", tmp_path / "data").stdout.count("1 utterances") == 3
    assert read_table(tmp_path / "data/dev_fr/text.tgt") == {"fr_Anne-2": "It rains 2 times."}
    assert "fr_Anne-4\tfr\t" in (tmp_path / "data/dropped.tsv").read_text()
    (corpus / "metadata.csv").write_text("1.wav|Anne|train|Il pleut.\n")
    refused = call(prepare, *options)
    assert refused.stderr.startswith(f"error: {corpus}/metadata.csv:1: five fields")
