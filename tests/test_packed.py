"""The packed model: a folder for the hub, there and back."""

import copy
import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, run_tool, write_whisper
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model
from fake_hub import Hub
from huggingface_hub import constants
from safetensors.torch import load_file
from tiny_models import tiny_comsl
from transformers import AutoModelForSeq2SeqLM

from comsl import hub
from comsl.encoders.huggingface import read_config
from comsl.errors import DataError
from comsl.evaluation.card import write_card
from comsl.inference import SpeechTranslator, load_model
from comsl.model.composite import ComSLModel
from comsl.model.language_model import LanguageModel
from comsl.model.packed import save_packed
from comsl.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def whisper(tmp_path_factory) -> Path:
    """A published speech encoder."""
    return write_whisper(tmp_path_factory.mktemp("whisper") / "whisper.pt")


@pytest.fixture(scope="module")
def model(tiny_lm, whisper) -> ComSLModel:
    """A random one, whose encoder has trained its last norm."""
    model = tiny_comsl(tiny_lm, whisper)
    model.speech_encoder.encoder.ln_post.bias.data += 0.1
    return model


@pytest.fixture
def packed(model, tmp_path) -> Path:
    save_packed(model, tmp_path / "packed")
    return tmp_path / "packed"


def same(one: ComSLModel, other: ComSLModel, half: bool = False) -> bool:
    tensors = other.state_dict()
    return all(
        torch.equal(tensor.half().float() if half else tensor, tensors[name])
        for name, tensor in one.state_dict().items()
        if not name.startswith("ctc_head.")
    )


def test_a_model_comes_back_as_it_was(model, packed, tmp_path):
    back = load_model(packed)
    assert same(model, back)
    assert (back.languages, back.longest) == (["fr", "it"], 9.5)
    save_packed(model, tmp_path / "half", half=True)
    assert same(model, load_model(tmp_path / "half"), half=True)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "packed")]
    assert sizes[0] < 0.6 * sizes[1]


def test_what_is_as_published_is_left_out(model, whisper, tmp_path):
    save_packed(model, tmp_path / "packed", published=str(whisper))
    tensors = load_file(tmp_path / "packed/model.safetensors")
    kept = [name for name in tensors if name.startswith("speech_encoder.")]
    assert kept == ["speech_encoder.encoder.ln_post.bias"]
    assert same(model, load_model(tmp_path / "packed"))


def test_it_is_a_language_model_to_start_from(model, packed, tmp_path):
    """For stage 3, and for transformers alone."""
    blocks = model.language_model.mbart.state_dict()
    for mbart in (LanguageModel(packed).mbart, AutoModelForSeq2SeqLM.from_pretrained(packed)):
        assert all(torch.equal(blocks[name], tensor) for name, tensor in mbart.state_dict().items())
    run_tool(
        "add_languages", "--language_model", packed, "--langs", "fr en", "--out", tmp_path / "lm"
    )
    assert "comsl" not in json.loads((tmp_path / "lm/config.json").read_text())
    assert len(Tokenizer(tmp_path / "lm")) == len(model.tokenizer)


def test_a_training_starts_from_its_adapter(model, packed, tmp_path):
    """Where it is the language model to start from."""
    options = ["--out", tmp_path / "adapter.pth", "--language_model"]
    run_tool("export_adapter", *options, packed, "--speech_encoder", "whisper.pt")
    other = copy.deepcopy(model)
    torch.nn.init.normal_(other.adapter.layers[0].inner.weight)
    load_pretrained_model(str(tmp_path / "adapter.pth"), other, True)
    assert same(model, other)
    refused = run_tool("export_adapter", *options, packed, "--speech_encoder", "small", check=False)
    assert "16 wide; small is whisper, 768 wide" in refused.stderr
    run_tool(
        "export_adapter",
        *options,
        ROOT / "egs2/debian_l10n/mt1/mbart_small",
        "--speech_encoder",
        "small",
    )
    assert torch.load(tmp_path / "adapter.pth") == {}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def other_width(file: Path) -> None:
    file.write_text(file.read_text().replace('"n_state": 16', '"n_state": 32'))


@pytest.mark.parametrize(
    ("name", "damage", "complaint"),
    [
        ("model.safetensors", Path.unlink, "model.safetensors: damaged, or not there"),
        ("model.safetensors", cut, "model.safetensors: damaged, or not there"),
        ("config.json", other_width, "not what config.json describes"),
        ("config.json", Path.unlink, "no config.yaml"),
        ("config.json", cut, "no config.yaml"),
        ("tokenizer.json", Path.unlink, "no tokenizer could be loaded"),
    ],
)
def test_a_damaged_folder_is_one_line(packed, name, damage, complaint):
    damage(packed / name)
    with pytest.raises(DataError, match=complaint):
        SpeechTranslator.from_pretrained(packed)


def test_its_card_says_where_it_comes_from(packed):
    """Scores with their signature, the command, and what the recipe says of data and licences; the
    name that the folder will have once it is made."""
    packed = packed.rename(packed.with_name("model.new"))
    scores = {"fr": 21.5, "it": 20.0, "avg": 20.75}
    entry = {"name": "comsl", "task": "st", "utterances": {"fr": 9, "it": 8}, "bleu": scores}
    made = {"exp/x/joint": {"settings": {"silence": "0.5"}, "reads": ["dump/x/raw"]}}
    run = {"command": "./run.sh --langs 'fr it'", "date": "today", "commit": "abc"}
    run |= {"machine": "two cores", "versions": {"python": "3.13"}, "made": made}
    results = {"signature": {"bleu": "nrefs:1|tok:13a", "chrf": ""}, "bleu_note": ""}
    results |= {"normaliser": "", "systems": [entry], "run": run}
    write_card(packed, None, "")
    assert "license: other" in (packed / "README.md").read_text("utf-8")
    write_card(packed, results, "---\nlicense: mit\n---\n## Data\n\nMy <b>own</b>.\n")
    _, front, card = (packed / "README.md").read_text("utf-8").split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "mit"
    assert yaml.safe_load(front)["language"] == ["fr", "it", "en"]
    assert card.startswith("# ComSL: speech in French, Italian, text in English\n")
    for fact in (
        *("21.5", "nrefs:1|tok:13a", "./run.sh --langs 'fr it'", "silence=0.5"),
        *("My <b>own</b>.", 'src_lang="fr"', 'from_pretrained("model")'),
    ):
        assert fact in card
    assert "\n\n\n" not in card


def test_to_the_hub_and_back(model, packed, tmp_path, monkeypatch):
    (packed / "README.md").write_text("# card\n")
    with Hub() as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        )
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        options = ["--model", packed, "--hf_repo", "me/comsl"]
        monkeypatch.setenv("HF_TOKEN", "secret")
        done = run_tool("push", *options)
        assert hub.files.keys() == {path.name for path in packed.iterdir()}
        shutil.rmtree(packed)
        assert same(model, SpeechTranslator.from_pretrained("me/comsl").model)
        with pytest.raises(DataError, match="me/other: neither a file, a folder nor a model on"):
            SpeechTranslator.from_pretrained("me/other")
    assert "me/comsl" in done.stdout
    # What was fetched before needs no network.
    assert same(model, SpeechTranslator.from_pretrained("me/comsl").model)


def test_a_hub_that_does_not_answer_is_asked_once(packed, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.1)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for load in (SpeechTranslator.from_pretrained, LanguageModel, Tokenizer, read_config):
            with pytest.raises(
                DataError, match=r"^me/comsl: no such folder here, and the hub can't"
            ):
                load("me/comsl")
        pushed = run_tool("push", "--model", packed, "--hf_repo", "me/comsl", check=False)
        assert pushed.stderr.startswith("error: me/comsl: the hub can't be reached")
        silent.accept()
        with pytest.raises(TimeoutError):
            silent.accept()
