"""The table of languages, against those of Whisper, mBART-50, M2M-100 and NLLB-200."""

import pytest
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M_100
from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB
from whisper.tokenizer import LANGUAGES as WHISPER_LANGUAGES

from comsl.errors import DataError
from comsl.languages import FLEURS, LANGUAGES, language, plain_codes


def test_every_language_is_known_to_whisper_and_mbart() -> None:
    assert {row.whisper for row in LANGUAGES.values()} <= WHISPER_LANGUAGES.keys()
    added = {"ca_ES", "cy_GB"}  # tokens that mBART-50 lacks
    assert {row.mbart for row in LANGUAGES.values()} - added <= set(FAIRSEQ_LANGUAGE_CODES)
    for row in LANGUAGES.values():
        assert row.mbart.startswith(row.whisper)


def test_every_language_is_known_to_m2m_100_and_nllb() -> None:
    known = {f"__{code}__" for code in M2M_100["m2m100"]}
    assert {row.tokens["m2m_100"] for row in LANGUAGES.values()} - known == {"__te__"}
    tokens = [row.tokens["nllb"] for row in LANGUAGES.values()]
    assert set(tokens) <= set(NLLB)
    assert len(set(tokens)) == len(tokens)


def test_all_of_mbarts_that_whisper_hears_are_there() -> None:
    heard = {code for code in FAIRSEQ_LANGUAGE_CODES if code.split("_")[0] in WHISPER_LANGUAGES}
    assert heard <= {row.mbart for row in LANGUAGES.values()}


def test_unknown_code() -> None:
    assert language("sv-SE").whisper == "sv"
    with pytest.raises(DataError, match="unknown language code 'sv'; known: "):
        language("sv")


def test_fleurs_names_stand_for_codes() -> None:
    assert plain_codes(" fr_fr it  cmn_hans_cn sv_se xx_yy") == "fr it zh-CN sv-SE xx_yy"
    assert len(FLEURS) == len(set(FLEURS.values())) == 52
