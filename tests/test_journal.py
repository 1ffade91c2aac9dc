"""Decoding that is interrupted, and goes on where it stopped."""

import json

import pytest
from conftest import PAIRS

from comsl.errors import DataError
from comsl.inference import SpeechTranslator
from comsl.journal import generate

TEXTS = [source for pairs in PAIRS.values() for source, _ in pairs]
LANGS = [lang for lang, pairs in PAIRS.items() for _ in pairs]


class Interrupted(SpeechTranslator):
    """Counts what it decodes, and stops after some batches."""

    def __init__(self, translator: SpeechTranslator, batches: int):
        super().__init__(translator.model, translator.file)
        self.left, self.decoded = batches, 0

    def _generate(self, task, inputs, langs, targets, **search):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.decoded += len(inputs)
        return super()._generate(task, inputs, langs, targets, **search)


@pytest.fixture(scope="module")
def translator(language_model) -> SpeechTranslator:
    return SpeechTranslator.from_pretrained(language_model)


def test_decoding_goes_on_where_it_was_stopped(translator, tmp_path):
    expected = translator.generate("mt", TEXTS, LANGS, beam_size=2, batch_size=2)
    assert len(set(expected)) > 2  # an untrained model, but not a constant one
    path, beams = tmp_path / "out/text.mt.jsonl", {"beam_size": 2, "batch_size": 2}
    with pytest.raises(KeyboardInterrupt):
        generate(Interrupted(translator, 2), "mt", TEXTS, LANGS, path, **beams)
    settings, *lines = path.read_text("utf-8").splitlines(keepends=True)
    assert [json.loads(line)[1] in expected for line in lines] == [True] * 4

    path.write_text(settings + "".join(lines)[3:-3], "utf-8")  # the first and last are cut short
    rest = Interrupted(translator, -1)
    # One more that occurs twice is decoded once.
    texts = generate(rest, "mt", [*TEXTS, TEXTS[0]], [*LANGS, LANGS[0]], path, **beams)
    assert texts == [*expected, expected[0]]
    assert rest.decoded == len(TEXTS) - 2
    assert generate(Interrupted(translator, 0), "mt", TEXTS, LANGS, path, **beams) == expected


def test_another_search_or_model_starts_anew(translator, tmp_path, language_model):
    path = tmp_path / "text.mt.jsonl"
    generate(translator, "mt", TEXTS, LANGS, path, beam_size=1)
    wider = Interrupted(translator, -1)
    generate(wider, "mt", TEXTS, LANGS, path, beam_size=2)
    assert wider.decoded == len(TEXTS)
    other = tmp_path / "valid.loss.ave.pth"
    other.write_bytes((language_model / other.name).read_bytes())
    (tmp_path / "config.yaml").write_bytes((language_model / "config.yaml").read_bytes())
    retrained = Interrupted(SpeechTranslator.from_pretrained(other), -1)
    generate(retrained, "mt", TEXTS, LANGS, path, beam_size=2)
    assert retrained.decoded == len(TEXTS)


def test_empty_texts_stay_empty_and_long_ones_are_cut_with_a_warning(translator, tmp_path, caplog):
    texts = ["", "Il pleut.", "  ", "La porte. " * 200]
    found = translator.translate_text(texts, "fr", beam_size=1)
    assert found[::2] == ["", ""]
    assert found[1] == translator.translate_text("Il pleut.", "fr", beam_size=1) != ""
    assert "tokens is cut: the model takes 256" in caplog.text
    path = tmp_path / "text.mt.jsonl"
    assert generate(translator, "mt", texts, ["fr"] * 4, path, beam_size=1) == found
    assert translator.translate_text("", "fr") == ""
    with pytest.raises(DataError, match="language 'ca' isn't one of the model's"):
        translator.translate_text("", "ca")
    translator.translate_text(texts, "fr", beam_size=1, max_tokens=1)
    assert "2 of 4 texts were cut at the limit of tokens" in caplog.text
