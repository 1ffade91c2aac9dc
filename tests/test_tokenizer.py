"""Texts come back from the tokenizer as they were; control tokens within them are text."""

import re

import numpy as np
import pytest
import torch
from conftest import PAIRS, ROOT, run_tool, write_mbart50, write_texts

from comsl.corpora.kaldi import read_table, write_table
from comsl.model.language_model import LanguageModel
from comsl.tokenizer import Tokenizer
from comsl.training.preprocessor import ComSLPreprocessor
from comsl.vocabulary import BYTES, CHARACTERS

SHIPPED = ROOT / "egs2/debian_l10n/mt1/mbart_small"
TEXTS = [
    "À demain !",
    "“I don’t know…” – 5 % of 20 € at 3 °C",
    "«Ça» est l’œuvre d’Anaïs — ÉTÉ, ÂGE",
    "¿Qué? ¡Ñandú, Ángel e Íñigo!",
    "È così: perché?",
    "Één ideeën, coördinatie",
    "ЖДИТЕ! Щука, Шум, Ёж — Юля и Я",
    CHARACTERS,
]
ELSEWHERE = ["日本語 ☃ Ελλάδα 🙂", "a <0x41> b"]  # spelt in bytes
CONTROL = ["<s> and </s> in fr_XX", "<mask>, <pad>"]
EAST = ["你好，世界！（笑）", "3,000人：真的？", "そうですか……はい。"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Like the published mBART-50: its normaliser is NFKC, and not all characters are known."""
    texts = [text for pairs in PAIRS.values() for pair in pairs for text in pair]
    return write_mbart50(tmp_path_factory.mktemp("hub") / "lm", [*texts, *"</s>fr_XX", *EAST])


def written(tokenizer: Tokenizer, text: str, lang: str = "fr") -> str:
    return tokenizer.decode(tokenizer.encode(text, lang))


@pytest.mark.parametrize("shipped", [False, True])
def test_what_is_read_can_be_written(tokenizer, shipped):
    tokenizer = Tokenizer(SHIPPED) if shipped else tokenizer
    for text in TEXTS + ELSEWHERE + CONTROL:
        assert written(tokenizer, text) == text
        assert not tokenizer.unknown_share([(text, "fr")])
    assert written(tokenizer, "e\u0301te\u0301\u202f!\n") == "été !"  # one form, plain spaces


def test_a_control_token_within_a_text_is_text(hub):
    tokenizer = Tokenizer(hub)
    for text in CONTROL:
        ids = tokenizer.encode(text, "fr")
        assert tokenizer.decode(ids) == text
        assert not set(ids[1:-1]) & set(tokenizer.backend.all_special_ids)


def test_chinese_and_japanese_are_written_full_width(hub):
    tokenizer = Tokenizer(hub)
    for text, lang in zip(EAST, ("zh-CN", "zh-CN", "ja"), strict=True):
        assert written(tokenizer, text, lang) == text
    assert written(tokenizer, "Il pleut, non?", "zh-CN") == "Il pleut, non?"
    assert written(tokenizer, "真的?", "fr") == "真的?"


def test_a_language_model_gets_the_characters_that_it_lacks(hub, tmp_path):
    """At the start it reads and writes what it knows almost as before."""
    run_tool("cover_characters", "--language_model", hub, "--out", tmp_path / "lm")
    old, new = Tokenizer(hub), Tokenizer(tmp_path / "lm")
    assert new.backend.get_vocab().items() >= old.backend.get_vocab().items()
    assert set(new.backend.get_vocab()) >= {*CHARACTERS, *BYTES}
    for text in TEXTS + ELSEWHERE + CONTROL:
        assert written(new, text) == text
    rows, grown = (
        LanguageModel(path).mbart.get_input_embeddings().weight for path in (hub, tmp_path / "lm")
    )
    assert torch.equal(grown[: len(old)], rows)
    for character, like in ("’'", "Àà", "ìi"):
        place = new.backend.convert_tokens_to_ids([character, like])
        if place[0] >= len(old):
            assert torch.cosine_similarity(grown[place[0]], rows, dim=-1).argmax() == place[1]


def test_of_no_texts_there_are_no_pieces(tokenizer):
    assert tokenizer.pieces([], []) == Tokenizer(SHIPPED).pieces([], []) == []


def test_letters_that_the_vocabulary_lacks_are_counted(hub, tmp_path):
    data = write_texts(tmp_path / "data", repeat=20)
    command = ["token_lengths", "--language_model", hub, data]
    said = run_tool(*command).stderr
    assert f"{data}/text.tgt: 0.00% of the tokens" in said
    assert f"{data}: 160 translations, through the tokenizer: BLEU 100.0 at most" in said
    texts = read_table(data / "text.tgt")
    write_table(data / "text.tgt", texts | {"fr-000": "Ж Щ Ж"})
    said = run_tool(*command).stderr
    assert re.search(r"text\.tgt: 0\.[1-9]\d% .* lacks, and will never write: Ж Щ\n", said)
    write_table(data / "text.tgt", {key: "Ж is here" for key in texts})
    refused = run_tool(*command, check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(f"error: {data}/text.tgt: ")


def test_sources_are_typeset_in_training_alone(tokenizer):
    text = 'It\'s "so" - well...'
    data = {"source_text": text, "target_text": text, "lang": "fr"}
    read = {}
    for train in (True, False):
        np.random.seed(0)
        sequences = ComSLPreprocessor(train, tokenizer, "en", typeset=1.0)("a", dict(data))
        assert tokenizer.decode(sequences["target"].tolist()) == text
        read[train] = tokenizer.decode(sequences["source"].tolist())
    assert read[False] == text
    assert read[True].startswith("It’s ")
    assert read[True].endswith(" – well…")
    assert '"' not in read[True]
