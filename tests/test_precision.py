"""Decoding and caching in bfloat16, as on a GPU that has it, on a CPU."""

import copy

import kaldiio
import numpy as np
import pytest
import torch
from conftest import PAIRS, ROOT, write_texts

from comsl import precision
from comsl.errors import DataError
from comsl.inference import SpeechTranslator
from comsl.model.composite import ComSLModel
from comsl.model.language_model import LanguageModel
from comsl.model.settings import Settings
from comsl.sequences import Sequences
from comsl.tokenizer import Tokenizer
from comsl.training.teacher_states import TeacherStates

MBART = ROOT / "egs2/debian_l10n/mt1/mbart_small"  # trained: of a random one any text is as good


@pytest.fixture(scope="module")
def translator() -> SpeechTranslator:
    settings = Settings(w_st=0.0, w_asr=0.0, w_cml=0.0, alpha_mt=0.0)
    return SpeechTranslator(ComSLModel(LanguageModel(MBART), Tokenizer(MBART), settings=settings))


def test_a_cpu_computes_in_single_precision():
    assert not precision.autocast("cpu")._enabled
    assert not precision.has_bf16(torch.device("cpu"))


def test_texts_stay_the_same(translator, monkeypatch):
    texts = [source for pairs in PAIRS.values() for source, _ in pairs]
    langs = [lang for lang, pairs in PAIRS.items() for _ in pairs]
    expected = translator.generate("mt", texts, langs, beam_size=2)
    memory = translator.model.language_model.encode
    seen = []
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    monkeypatch.setattr(
        translator.model.language_model,
        "encode",
        lambda *args: seen.append(torch.is_autocast_enabled("cpu")) or memory(*args),
    )
    assert translator.generate("mt", texts, langs, beam_size=2) == expected
    assert set(seen) == {True}


def test_in_int8_the_states_are_nearly_the_same(translator):
    model = copy.deepcopy(translator.model)
    texts = [source for source, _ in PAIRS["fr"]]
    tokens = Sequences.of([translator.tokenizer.encode(text, "fr") for text in texts], "cpu")
    embeddings = Sequences(model.language_model.embed(tokens.values), tokens.lengths)
    with torch.inference_mode():
        single, _ = model.language_model.encode(embeddings)
        rounded = SpeechTranslator(model, dtype="int8")
        half, _ = model.language_model.encode(embeddings)
    assert not [module for module in model.modules() if type(module) is torch.nn.Linear]
    difference = (half.values - single.values)[single.mask]
    assert 0 < difference.norm() < 0.1 * single.values[single.mask].norm()
    assert all(rounded.generate("mt", texts, ["fr"] * len(texts), beam_size=2))
    with pytest.raises(DataError, match="dtype 'float16': known are float32 bfloat16 int8"):
        SpeechTranslator(model, dtype="float16")


def test_cached_states_are_nearly_the_same(monkeypatch, tmp_path):
    raw = write_texts(tmp_path / "raw")
    teacher = TeacherStates(MBART, "en", 100, "cpu")
    teacher.extract(raw, tmp_path / "single")
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    teacher.extract(raw, tmp_path / "half")
    single, half = (kaldiio.load_scp(f"{tmp_path}/{name}/feats.scp") for name in ("single", "half"))
    for utterance in single:
        difference = half[utterance] - single[utterance]
        assert 0 < np.linalg.norm(difference) < 0.03 * np.linalg.norm(single[utterance])
