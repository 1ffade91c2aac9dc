"""Scores: against sacreBLEU's own command, known error rates, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sacrebleu
from conftest import ROOT
from synthetic_set import write_hypotheses, write_raw

from comsl.corpora.kaldi import read_table, write_table
from comsl.errors import DataError
from comsl.evaluation import scoring
from comsl.languages import LANGUAGES


def reverse(text: str) -> str:
    """The same words in another order: a bad translation with some overlap."""
    words = text.split()
    return " ".join(words[2:] + words[:2])


def score_all(root, langs=("es", "it"), **systems):
    references = scoring.read_references(root / "raw", "test", langs)
    folders = {name.replace("_", "-"): folder for name, folder in systems.items()}
    outputs = scoring.read_outputs(folders, "test", references)
    return scoring.score("toy", "test", references, outputs)


def test_perfect_hypotheses(tmp_path):
    write_raw(tmp_path / "raw", ("es", "it", "ja"))
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st asr mt")
    results = score_all(tmp_path, ("es", "it", "ja"), comsl=tmp_path / "comsl")
    by_task = {entry["task"]: entry for entry in results["systems"]}
    assert list(by_task) == ["st", "mt", "asr"]
    perfect = {"es": 100, "it": 100, "ja": 100, "avg": 100, "high": 100, "mid": 100, "low": 100}
    assert by_task["st"]["bleu"] == by_task["mt"]["chrf"] == pytest.approx(perfect)
    assert by_task["asr"]["wer"] == dict.fromkeys(perfect, 0)
    assert by_task["asr"]["error_unit"] == {"es": "word", "it": "word", "ja": "character"}
    assert by_task["st"]["utterances"] == {"es": 5, "it": 5, "ja": 5}
    assert results["recipe"] == "toy"
    assert results["split"] == "test"
    assert "significance" not in results


def test_scores_equal_sacrebleu_command(tmp_path):
    write_raw(tmp_path / "raw", ("es",))
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st", reverse)
    results = score_all(tmp_path, ("es",), comsl=tmp_path / "comsl")
    for name, path in (("ref", "raw/test_es/text.tgt"), ("hyp", "comsl/test_es/text.st")):
        lines = read_table(tmp_path / path).values()
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-m", "bleu", "chrf"]
    shown = subprocess.check_output([*command, "-f", "json", "-w", "2"], cwd=tmp_path, text=True)
    for metric, theirs in zip(("bleu", "chrf"), json.loads(shown), strict=True):
        assert theirs["name"].lower().startswith(metric)
        assert 10 < theirs["score"] < 99
        assert results["systems"][0][metric]["es"] == theirs["score"]
        assert results["signature"][metric] == theirs["signature"]


CHINESE = {"a": "今天下午会下雨。", "b": "火车八点钟开。"}


@pytest.mark.parametrize(
    ("target_lang", "tokeniser"),
    [("en", "13a"), ("de", "13a"), ("zh-CN", "zh"), ("ja", "char"), ("ko", "char"), ("th", "char")],
)
def test_bleu_takes_translations_apart_as_their_language_wants(monkeypatch, target_lang, tokeniser):
    """As sacreBLEU does, with characters where it would need MeCab, which isn't there."""
    for name in ("ja", "ko"):
        monkeypatch.setattr(f"sacrebleu.tokenizers.tokenizer_{name}_mecab.MeCab", None)
    said = {key: text.replace("八点", "九点") for key, text in CHINESE.items()}
    outputs = [
        scoring.Output(name, "st", Path(), {"fr": texts})
        for name, texts in (("comsl", said), ("whisper-zero-shot", CHINESE))
    ]
    results = scoring.score("toy", "test", {"st": {"fr": CHINESE}}, outputs, target_lang)
    expected = sacrebleu.corpus_bleu(
        list(said.values()), [list(CHINESE.values())], tokenize=tokeniser, force=True
    ).score
    assert results["systems"][0]["bleu"]["fr"] == pytest.approx(expected, abs=0.005)
    assert (expected > 20) == (tokeniser != "13a")
    assert f"|tok:{tokeniser}|" in results["signature"]["bleu"]
    (test,) = results["significance"]
    assert ("MeCab is not installed" in results["bleu_note"]) == (target_lang in ("ja", "ko"))
    assert test["score"] == pytest.approx(expected, abs=0.005)


def test_published_scores_follow_from_what_is_stated():
    """And they are of exactly the 21 languages that the recipe decodes."""
    recipe = ROOT / "egs2/covost2/comsl1"
    published = json.loads((recipe / "published.json").read_text())
    assert f'--langs "{published["langs"]}"' in (recipe / "run.sh").read_text()
    assert set(published["langs"].split()) == {key for key, row in LANGUAGES.items() if row.group}
    averages = {system["name"]: system["bleu"]["avg"] for system in published["systems"]}
    assert len(averages) == len(published["systems"])
    for system in published["systems"]:
        if "derived" in system:
            minuend, difference = map(float, system["derived"].split(" - "))
            assert minuend == averages["ComSL Large, pseudo data"]
            assert system["bleu"]["avg"] == pytest.approx(minuend - difference)


def test_published_scores_of_other_languages_are_left_out(tmp_path):
    write_raw(tmp_path / "raw")
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st")
    results = score_all(tmp_path, comsl=tmp_path / "comsl")
    file = tmp_path / "published.json"
    published = {"split": "test", "target_lang": "en", "langs": "it es", "source": "x"}
    published |= {"systems": [{"name": "a", "bleu": {"avg": 1}}]}
    for change, same in [({}, True), ({"langs": "es"}, False), ({"split": "dev"}, False)]:
        file.write_text(json.dumps(published | change))
        assert (scoring.read_published(file, results) is not None) == same
    file.write_text(json.dumps(published | {"systems": [{"name": "a"}]}))
    with pytest.raises(DataError, match=r"published.json: no table of published scores.*'bleu'"):
        scoring.read_published(file, results)


def test_averages_are_means_of_languages():
    values = {"fr": 10.0, "es": 20.0, "it": 33.333}
    assert scoring.summarise(values) == {
        "fr": 10.0, "es": 20.0, "it": 33.33, "avg": 21.11, "high": 15.0, "mid": 33.33,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lang", "hypothesis", "reference", "rate"),
    [
        ("es", "¡hola, MUNDO cruel!", "Hola mundo", 50),  # one insertion, two reference words
        ("es", "uno dos tres", "uno dos tres cuatro", 25),
        ("fr", "l’été", "L'ÉTÉ", 0),
        ("fr", "ﬁn   de\tpage", "Fin de page.", 0),  # NFKC takes the ligature apart
        ("es", "", "uno dos", 100),
        ("zh-CN", "你 好,世 界", "你好世界。", 0),
        ("ja", "こんにちわ", "こんにちは", 20),
        ("th", "สวัสดี ครับ", "สวัสดีครับ", 0),
    ],
)
def test_known_error_rates(lang, hypothesis, reference, rate):
    assert scoring.error_rate(lang, [hypothesis], [reference]) == pytest.approx(rate)


def test_error_rate_pools_words_over_utterances():
    assert scoring.error_rate("it", ["a", "b c d"], ["x", "b c d"]) == pytest.approx(25)


def test_empty_hypotheses_are_scored(tmp_path):
    write_raw(tmp_path / "raw")
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st asr", lambda text: "")
    st, asr = score_all(tmp_path, comsl=tmp_path / "comsl")["systems"]
    assert st["bleu"]["avg"] == 0
    assert asr["wer"]["avg"] == 100


def change_ids(path, drop=(), add=()):
    texts = {key: text for key, text in read_table(path).items() if key not in drop}
    write_table(path, texts | dict.fromkeys(add, "more"))


@pytest.mark.parametrize(
    ("drop", "add", "message"),
    [
        (
            ["it_speaker-2", "it_speaker-3"],
            [],
            r"'it_speaker-2' of the reference is missing \(2 of",
        ),
        ([], ["it_speaker-9"], r"'it_speaker-9' is not in the reference"),
    ],
)
def test_other_utterances_than_the_reference(tmp_path, drop, add, message):
    write_raw(tmp_path / "raw")
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st")
    change_ids(tmp_path / "comsl/test_it/text.st", drop, add)
    with pytest.raises(DataError, match=rf"comsl/test_it/text.st: utterance {message}"):
        score_all(tmp_path, comsl=tmp_path / "comsl")


def test_order_of_ids_does_not_depend_on_order_of_languages(tmp_path):
    write_raw(tmp_path / "raw")
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st", reverse)
    one = score_all(tmp_path, ("es", "it"), comsl=tmp_path / "comsl")["systems"][0]["bleu"]
    other = score_all(tmp_path, ("it", "es"), comsl=tmp_path / "comsl")["systems"][0]["bleu"]
    assert one == other
    assert list(other)[:2] == ["it", "es"]


def test_a_system_without_files_is_left_out(tmp_path):
    write_raw(tmp_path / "raw")
    write_hypotheses(tmp_path / "cascade", tmp_path / "raw", "st")
    results = score_all(tmp_path, cascade=tmp_path / "cascade", comsl=tmp_path / "nothing")
    assert [entry["name"] for entry in results["systems"]] == ["cascade"]
    with pytest.raises(DataError, match="no system has hypotheses"):
        score_all(tmp_path, comsl=tmp_path / "nothing")


def test_a_system_with_some_languages_only(tmp_path):
    write_raw(tmp_path / "raw")
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st")
    (tmp_path / "comsl/test_it/text.st").unlink()
    with pytest.raises(DataError, match=r"test_it/text\.st: no such file"):
        score_all(tmp_path, comsl=tmp_path / "comsl")


def test_significance_of_a_clear_difference_and_of_none(tmp_path):
    write_raw(tmp_path / "raw")
    write_hypotheses(tmp_path / "good", tmp_path / "raw", "st")
    write_hypotheses(tmp_path / "bad", tmp_path / "raw", "st", reverse)
    systems = {"comsl": tmp_path / "good", "whisper_zero_shot": tmp_path / "bad"}
    test = score_all(tmp_path, **systems)["significance"][0]
    assert test["score"] == 100
    assert test["p_value"] < 0.05
    low, high = test["baseline_ci95"]
    assert low < test["baseline_score"] < high
    assert test["difference_ci95"][0] > 0
    same = dict.fromkeys(systems, tmp_path / "bad")
    assert score_all(tmp_path, **same)["significance"][0]["p_value"] == 1
    assert test == score_all(tmp_path, **systems)["significance"][0]  # a fixed seed


def test_error_rates_by_whispers_normalisers():
    """They leave out what stands in brackets, spell numbers alike, and take Chinese apart."""
    for lang, said, reference, expected in (
        ("fr", "Bonjour (rires) à tous !", "bonjour à tous", 0),
        ("fr", "l'eau", "L’eau est là", 50),
        ("en", "It's 20 colors", "it is twenty colours", 0),
        ("zh-CN", "今天下雨。", "今天下雪", 25),
    ):
        assert scoring.whisper_error_rate(lang, [said], [reference]) == pytest.approx(expected)
