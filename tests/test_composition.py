"""Any speech encoder with any translation model: the promises of Whisper and mBART hold of each."""

import json

import pytest
import torch
from conftest import PAIRS, run_tool
from tiny_models import write_language_model
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from comsl.model.language_model import LanguageModel
from comsl.sequences import Sequences
from comsl.tokenizer import Tokenizer

FAMILIES = ("mbart", "m2m_100", "nllb")
TEXT, TRANSLATION = PAIRS["fr"][0]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Family -> a translation model as it is published."""
    folder = tmp_path_factory.mktemp("published")
    return {family: write_language_model(family, folder / family) for family in FAMILIES}


@pytest.fixture(scope="module")
def language_models(published, tmp_path_factory):
    """The same with all tokens that ComSL needs (stage 3)."""
    folder = tmp_path_factory.mktemp("complete")
    for family, path in published.items():
        options = ["--language_model", path, "--langs", "fr it en te"]
        run_tool("add_languages", *options, "--out", folder / family)
    return {family: folder / family for family in FAMILIES}


def sequence(rows: list[list[int]]) -> Sequences:
    return Sequences(torch.tensor(rows), torch.tensor([len(row) for row in rows]))


@pytest.mark.parametrize("family", ["m2m_100", "nllb"])
def test_a_language_model_is_used_as_its_own_class_uses_it(family, published):
    """Tokens, states, logits and search, against transformers' own."""
    path = published[family]
    tokenizer, model = Tokenizer(path), LanguageModel(path).eval()
    source = dict(zip(("m2m_100", "nllb"), ("fr", "fra_Latn"), strict=True))[family]
    theirs = AutoTokenizer.from_pretrained(path, src_lang=source)
    network = AutoModelForSeq2SeqLM.from_pretrained(path).eval()
    x = tokenizer.encode(TEXT, "fr")
    assert x == theirs(TEXT)["input_ids"]
    assert tokenizer.decode(x) == TEXT
    begins = [begin for begin, _ in tokenizer.offsets(TEXT)]
    assert begins == sorted(begins)
    assert len(begins) == len(x) - 2
    y, end = tokenizer.encode(TRANSLATION, "en"), model.config.eos_token_id
    inputs = {"input_ids": torch.tensor([x]), "attention_mask": torch.ones(1, len(x))}
    decoder = torch.tensor([[end, *y[:-1]]])
    expected = network(**inputs, decoder_input_ids=decoder, output_hidden_states=True)
    memory, layer = model.encode(
        Sequences(model.embed(sequence([x]).values), torch.tensor([len(x)])), 1
    )
    torch.testing.assert_close(layer, expected.encoder_hidden_states[1])
    states = model.decode(sequence([y]), memory)
    log_p = model.head.log_softmax(states[0])
    torch.testing.assert_close(log_p, expected.logits[0].log_softmax(-1))
    (found,) = model.generate(memory, torch.tensor([y[0]]), beam_size=3, max_tokens=9)
    (wanted,) = network.generate(
        **inputs, forced_bos_token_id=y[0], num_beams=3, max_new_tokens=10, early_stopping=False
    ).tolist()
    assert found[:10] == wanted[:10]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_language_model_gets_the_tokens_that_it_lacks(family, published, language_models):
    old, new = Tokenizer(published[family]), Tokenizer(language_models[family])
    assert new.mask_id is not None
    assert len({new.code(lang) for lang in ("fr", "it", "en", "te")}) == 4
    assert new.encode(TEXT, "fr") == old.encode(TEXT, "fr")
    ids = new.encode(TEXT, "te")
    assert new.decode([new.eos_id, ids[0], new.mask_id, *ids[1:]]) == TEXT
    model = LanguageModel(language_models[family])
    assert len(new) <= model.config.vocab_size == len(model.head.bias)
    assert model.mbart.lm_head.weight is model.embeddings


def test_another_family_is_refused_in_one_line(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    options = ["--language_model", tmp_path, "--langs", "fr", "--out", tmp_path / "lm"]
    refused = run_tool("add_languages", *options, check=False)
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
