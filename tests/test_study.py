"""Studies: what their rows compute, and the table that compares them."""

import json
import subprocess
import sys
from contextlib import chdir
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
import yaml
from conftest import PAIRS, ROOT, Outcome, run_tool
from synthetic_set import write_experiment, write_hypotheses, write_raw

from comsl.corpora.kaldi import read_table, write_table
from comsl.corpora.text import normalise
from comsl.errors import DataError
from comsl.evaluation import scoring, significance, study
from comsl.evaluation.rows import row_files, rows_of
from comsl.evaluation.study import read_cost
from comsl.files import write_text
from comsl.overrides import espnet_options, run_options

BASE = ROOT / "conf/train_asterisk_study.yaml"


def files_of(name: str) -> dict[str, list[Path]]:
    """Row -> the files that make it."""
    with chdir(ROOT):
        files = {row: row_files(name, row) for row in rows_of(name)}
    return {row: [ROOT / file for file in paths] for row, paths in files.items()}


def parse(files: list[Path]):
    """The settings of a row, through ESPnet's own parser."""
    from comsl.training.task import ComSLTask

    words = [word for file in files for word in espnet_options(file)]
    return ComSLTask.get_parser().parse_args(["--config", str(BASE), *words])


def run_settings(files: list[Path]) -> dict[str, str]:
    return {name: value for file in files for name, value in run_options(file).items()}


@pytest.fixture
def computed(tiny_lm, tokenizer, batch):
    """What a row computes of a batch: the terms that count in its loss, and its other losses."""
    from test_model import build

    def terms(files: list[Path]) -> set[str]:
        model = build(tiny_lm, tokenizer, **parse(files).model_conf)
        stats = model(**batch)[1]
        return {name for name in stats if not name.endswith(("_token", "loss"))}

    return terms


ST = {"ce_st", "loss_st"}
MT = ST | {"ce_mt", "loss_mt"}
DDM = MT | {"kd_st"}
ASR = DDM | {"ce_asr", "loss_asr"}
REGULARISED = ASR | {"kd_mt"}
CML = REGULARISED | {"loss_cml", "ce_stm_x", "ce_stm_y", "kd_stm_y", "ce_mtp", "erm"}
ABLATION = {
    "1_st": (ST, "none"),
    "2_mt": (MT, "none"),
    "3_ddm": (DDM, "none"),
    "4_asr": (ASR, "none"),
    "5_frozen": (ASR, "some"),
    "6_mt_regularisation": (REGULARISED, "some"),
    "7_cml": (CML, "some"),
    "8_pseudo": (CML, "some"),
}
MODALITY_GAP = {
    "none": REGULARISED,
    "const": REGULARISED | {"loss_const"},
    **dict.fromkeys(("ctc", "ctc_0.1", "ctc_0.03"), REGULARISED | {"loss_ctc"}),
    "waco": REGULARISED | {"loss_ctc", "loss_waco"},
    "mml": REGULARISED | {"loss_ctc", "loss_mml"},
    "cml": CML,
}


def test_rows_of_the_ablation_compute_what_they_say(computed):
    """Objectives, distillation, frozen phase and data, from the YAML on."""
    rows = files_of("ablation")
    assert list(rows) == list(ABLATION)
    for row, (terms, frozen_phase) in ABLATION.items():
        assert computed(rows[row]) == terms, row
        settings = run_settings(rows[row])
        assert settings.pop("frozen_phase") == frozen_phase
        assert settings == {"pseudo_set": "untranslated" if row == "8_pseudo" else ""}


def test_the_last_rows_of_the_ablation_are_the_whole_method():
    """Their weights are the model's defaults, which a training without a study has."""
    from comsl.model.settings import Settings

    defaults = asdict(Settings())
    for row in ("7_cml", "8_pseudo"):
        settings = parse(files_of("ablation")[row]).model_conf
        assert settings == {name: defaults[name] for name in settings}


def test_rows_of_the_modality_gap_compute_what_they_say(computed):
    rows = files_of("modality_gap")
    assert rows.keys() == MODALITY_GAP.keys()
    for row, terms in MODALITY_GAP.items():
        assert computed(rows[row]) == terms, row
        assert run_settings(rows[row]) == {}


@pytest.mark.parametrize("name", ["ablation", "modality_gap", "lora"])
def test_rows_pass_the_check_before_training(tmp_path, name):
    """Which is of the language model's training too, and that one isn't the row's."""
    configs = [ROOT / "conf/train_asterisk_lm.yaml", BASE]
    for files in files_of(name).values():
        override = ["--override", " ".join(map(str, files)), "--raw", tmp_path]
        run_tool("check_trainings", *configs, *override)


@pytest.mark.parametrize("name", ["asr", "no_teacher", "cml", "adapter_alone"])
def test_trials_of_pretraining_pass_the_check_before_training(tmp_path, name):
    conf = ROOT / "egs2/debian_speech/comsl1/conf"
    override = ["--override", conf / f"trials/{name}.yaml"]
    run_tool("check_trainings", conf / "trial.yaml", *override, "--raw", tmp_path)


def test_the_first_run_of_pretraining_passes_the_check_before_training(tmp_path):
    conf = ROOT / "egs2/debian_speech/comsl1/conf"
    override = ["--override", conf / "run1.yaml"]
    run_tool("check_trainings", conf / "train.yaml", *override, "--raw", tmp_path)


def test_a_row_that_trains_nothing_fails_the_check(tmp_path):
    nothing = tmp_path / "nothing.yaml"
    nothing.write_text("model_conf: {w_st: 0, w_asr: 0, w_mt: 0, w_cml: 0}\n")
    done = run_tool("check_trainings", BASE, "--override", nothing, "--raw", tmp_path, check=False)
    assert "w_st, w_asr, w_mt and w_cml are all 0" in done.stderr


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("max_epoch: many", "argument --max_epoch: invalid int value: 'many'"),
        ("nosuch: 3", "unrecognized arguments: nosuch"),
        ("optim: fast", "optim: there is no 'fast'; known: "),
        ("model_conf: 3", "model_conf has settings of its own, not 3"),
    ],
)
def test_a_wrong_setting_of_a_file_is_one_line(tmp_path, setting, complaint):
    odd = tmp_path / "odd.yaml"
    odd.write_text(f"{BASE.read_text()}\n{setting}\n")
    done = run_tool("check_trainings", odd, "--raw", tmp_path, check=False)
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_phases_whose_weights_do_not_fit_fail_the_check(tmp_path):
    """Found before the first phase, not when its weights are loaded."""
    lora = tmp_path / "lora.yaml"
    settings = {"lora_conf": {"language_model": {"rank": 4}}}
    lora.write_text(yaml.safe_dump(yaml.safe_load(BASE.read_text()) | settings))
    done = run_tool("check_trainings", BASE, lora, "--raw", tmp_path, check=False)
    assert done.stderr.startswith("error: lora_conf: give both phases the same:")
    run_tool("check_trainings", lora, lora, "--raw", tmp_path)
    run_tool("check_trainings", BASE, lora, "--frozen_phase", "none", "--raw", tmp_path)
    text = ROOT / "conf/train_asterisk_lm.yaml"
    lora.write_text(yaml.safe_dump(yaml.safe_load(text.read_text()) | settings))
    done = run_tool("check_trainings", lora, "--lm_share", "0.5", "--raw", tmp_path, check=False)
    assert "with LoRA --lm_share must be 1, not 0.5" in done.stderr
    run_tool("check_trainings", lora, "--raw", tmp_path)


def test_a_language_without_the_test_set_fails_the_check(tmp_path):
    (tmp_path / "test_fr").mkdir()
    (tmp_path / "test_other_it").mkdir()
    options = ["--raw", tmp_path, "--test_set", "test test_other", "--langs"]
    run_tool("check_trainings", BASE, *options, "fr")
    done = run_tool("check_trainings", BASE, *options, "fr it", check=False)
    assert done.stderr.startswith(f"error: there is no set {tmp_path}/test_it: correct --test_set")


def test_overrides_go_on_top_and_leave_the_rest(tmp_path):
    """Nested settings, rates that Python writes as 1e-05, words that YAML reads as something."""
    file = tmp_path / "row.yaml"
    changes = {
        "model_conf": {"w_cml": 0, "erm_squared": True},
        "component_lr": {"adapter": 1e-5},
        "speech_encoder_conf": {"dims": {"n_mels": 80}},
        "max_epoch": 3,
        "grad_clip": 1e-5,
        "run": {"pseudo_set": "no", "speed_factors": "0.9 1.1", "further_sets": None},
    }
    file.write_text(yaml.safe_dump(changes, sort_keys=False))
    parsed, base = parse([file]), parse([])
    assert parsed.model_conf == base.model_conf | {"w_cml": 0, "erm_squared": True}
    assert parsed.component_lr == base.component_lr | {"adapter": 1e-5}
    assert parsed.speech_encoder_conf == base.speech_encoder_conf | {"dims": {"n_mels": 80}}
    assert (parsed.max_epoch, parsed.grad_clip) == (3, 1e-5)
    assert parsed.optim_conf == base.optim_conf
    printed = run_tool("overrides", file).stdout
    assert printed == "pseudo_set=no\nspeed_factors=0.9 1.1\nfurther_sets=\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "no such file"),
        ("", "write settings as lines"),
        ("run: none", "write settings as lines"),
        ("model_conf: {w_cml: 0", "no YAML"),
        ("run: {tsv: Übung.tsv}", "no YAML in UTF-8"),
        ("optim_conf: {betas: [0.9, 0.99]}", "betas is a list"),
    ],
)
def test_a_bad_row_is_one_line(tmp_path, text, complaint):
    if text is not None:
        (tmp_path / "row.yaml").write_text(text, encoding="latin-1")
    done = run_tool("overrides", tmp_path / "row.yaml", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/row.yaml: ")
    assert complaint in line


# ---- the table

LANGS = ("es", "it")


def worse(text: str) -> str:
    words = text.split()
    return " ".join(words[:2] + words[3:] + words[2:3])


def write_row(folder: Path, raw: Path, change, nll: float) -> None:
    """An experiment as stages 6 and 7 leave it."""
    write_hypotheses(folder / "decode", raw, "st", change)
    for number, lang in enumerate(LANGS):
        keys = read_table(raw / f"test_{lang}" / "text.tgt")
        table = {key: f"{nll + number + i:.5f} {4 + i}" for i, key in enumerate(keys)}
        write_table(folder / "decode" / f"test_{lang}" / "nll.st", table)
    frozen = folder.with_name(f"{folder.name}_frozen")
    for phase, start in ((frozen, []), (folder, [f"{frozen}/valid.loss.ave.pth"])):
        write_experiment(phase, epochs=2)
        config = {"accum_grad": 2, "init_param": start}
        (phase / "config.yaml").write_text(yaml.safe_dump(config))


def write_similarity(experiment: Path, utterances: int, difference: float) -> Path:
    """What stage 10 leaves."""
    means = {"aligned": 0.5, "unaligned": 0.5 - difference, "difference": difference}
    results = {"set": "test", "layer": 1, "utterances": {"all": utterances}}
    path = experiment / "report/similarity.json"
    write_text(path, json.dumps(results | {kind: {"all": mean} for kind, mean in means.items()}))
    return path


def rename_utterances(raw: Path, prefix: str) -> None:
    for path in raw.glob("test_*/*"):
        path.write_text("".join(f"{prefix}{line}" for line in path.open()))


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """Two folds with other utterances, four rows on each; the last one is not decoded."""
    work = tmp_path_factory.mktemp("study")
    changes = {"1_a": worse, "2_b": worse, "3_c": lambda text: text}
    for fold in ("f0", "f1"):
        write_raw(work / fold / "raw", LANGS)
        rename_utterances(work / fold / "raw", f"{fold}_")
        for row, change in changes.items():
            write_row(work / fold / "exp" / row, work / fold / "raw", change, 20.0 - int(row[0]))
        (work / fold / "exp/4_d").mkdir()
    write_similarity(work / "f0/exp/1_a", 10, 0.2)
    write_similarity(work / "f1/exp/1_a", 30, 0.4)
    write_similarity(work / "f1/exp/2_b", 30, 0.4)  # not of the other fold
    return work


def test_a_frozen_phase_of_an_earlier_run_costs_nothing(tmp_path):
    """It stays where the row is trained anew without one."""
    write_raw(tmp_path / "raw", LANGS)
    write_row(tmp_path / "row", tmp_path / "raw", worse, 1.0)
    both = read_cost(tmp_path / "row")
    (tmp_path / "row/config.yaml").write_text("{accum_grad: 2, init_param: [exp/adapter.pth]}")
    assert read_cost(tmp_path / "row").updates == both.updates // 2


def both_folds(work: Path) -> list:
    """The options that name them."""
    return [
        item
        for fold in ("f0", "f1")
        for item in ("--fold", work / fold / "raw", work / fold / "exp")
    ]


def compare(work: Path, *options, check: bool = True) -> Outcome:
    return run_tool(
        "study", "--study", "ablation", "--rows", "1_a 2_b 3_c", *both_folds(work),
        "--recipe", "toy", "--langs", " ".join(LANGS), "--out", work / "report/ablation",
        "--command", "./run.sh", *options, check=check,
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(work) -> dict:
    (work / "report").mkdir()
    (work / "report/index.html").write_text("<!-- pictures -->\n<!-- end of pictures -->\n")
    compare(work)
    return json.loads((work / "report/ablation/results.json").read_text())


def pooled(work: Path, name: str) -> list[str]:
    """Lines of all languages and folds, language by language."""
    paths = [work / fold / name.format(lang=lang) for lang, fold in product(LANGS, ("f0", "f1"))]
    return [text for path in paths for text in read_table(path).values()]


def test_pooled_scores_equal_sacrebleus_command(work, results):
    """References and hypotheses are put together before BLEU; the baseline is the row above."""
    (work / "ref").write_text("\n".join(pooled(work, "raw/test_{lang}/text.tgt")) + "\n")
    rows = ("2_b", "3_c")
    for row in rows:
        texts = pooled(work, f"exp/{row}/decode/test_{{lang}}/text.st")
        (work / row).write_text("\n".join(texts) + "\n")
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", rows[1], "-m", "bleu"]
    shown = subprocess.check_output([*command, "-f", "json", "-w", "4"], cwd=work, text=True)
    theirs = json.loads(shown)
    ours = results["significance"][2]
    assert (ours["system"], ours["baseline"]) == ("ablation/3_c", "ablation/2_b")
    assert ours["score"] == pytest.approx(theirs["score"], abs=0.01)
    assert ours["utterances"] == 20
    assert results["systems"][0]["utterances"] == {"es": 10, "it": 10}
    assert results["significance"][1]["p_value"] == 1.0  # the same translations


def test_likelihood_per_token(results):
    """In each of the four sets 5 utterances, of 4 to 8 tokens."""
    nll = [entry["nll"] for entry in results["systems"]]
    total = sum(19 + number + i for number in (0, 1) for i in range(5)) * 2
    assert nll[0]["per_token"] == pytest.approx(total / 120, abs=1e-4)
    assert nll[0]["difference"] == 0
    assert nll[1]["difference"] == pytest.approx(-20 / 120, abs=1e-4)
    low, high = nll[1]["ci95"]
    assert low <= nll[1]["difference"] <= high < 0


def test_intervals_are_those_of_a_plain_bootstrap_over_sentences():
    """Of a sentence that four utterances translate all are drawn or none, however it is written."""
    references = {
        "es": {"a": "Goodbye.", "b": "the number is busy", "c": "one moment please, thank you"},
        "it": {"d": "goodbye", "e": "Goodbye!", "f": "goodbye", "g": "you have two new messages"},
    }
    own = {"a": "Goodbye.", "b": "the number is", "c": "one moment, thank you", "d": "good day"}
    own |= {"e": "Goodbye!", "f": "goodbye", "g": "you have two new messages now"}
    other = {"a": "Hello.", "b": "the number is busy now", "c": "a moment please, thank you"}
    other |= {"d": "goodbye", "e": "Hello!", "f": "bye", "g": "you have messages"}
    rows = []
    for number, texts in enumerate((other, own)):
        by_lang = {lang: {key: texts[key] for key in part} for lang, part in references.items()}
        output = scoring.Output(f"{number}_x", "st", Path("x"), by_lang)
        nll = {key: (3.0 + (1 - 2 * number) * len(text) / 9, 2 + i)
               for i, (key, text) in enumerate(texts.items())}  # fmt: skip
        rows.append(study.Row(f"{number}_x", output, nll, [study.Cost(1, 1.0, 1.0)], None))
    results = study.compare("toy", "ablation", "test", rows, references, folds=1)

    whole = references["es"] | references["it"]
    groups = [["g"], ["a", "d", "e", "f"], ["c"], ["b"]]
    groups.sort(key=lambda group: normalise(whole[group[0]]))
    generator = np.random.default_rng(significance.SEED)
    bleus, likelihoods = [], []
    for _ in range(1000):
        keys = [key for place in generator.integers(4, size=4) for key in groups[place]]
        scores = [
            sacrebleu.corpus_bleu([texts[key] for key in keys], [[whole[key] for key in keys]])
            for texts in (own, other)
        ]
        bleus.append(scores[0].score - scores[1].score)
        sums = [np.sum([row.nll[key] for key in keys], 0) for row in (rows[1], rows[0])]
        likelihoods.append(sums[0][0] / sums[0][1] - sums[1][0] / sums[1][1])
    expected = np.percentile(bleus, [2.5, 97.5])
    assert results["significance"][1]["difference_ci95"] == pytest.approx(expected, abs=0.006)
    expected = np.percentile(likelihoods, [2.5, 97.5])
    assert results["systems"][1]["nll"]["ci95"] == pytest.approx(expected, abs=6e-5)


def test_a_study_into_another_language_takes_its_sentences_apart():
    references = {"fr": {"a": "\u8bf7\u7a0d\u7b49\u7247\u523b\u3002"}}
    texts = {"fr": {"a": "\u8bf7\u60a8\u7a0d\u7b49\u7247\u523b\u3002"}}
    output = scoring.Output("x/1_a", "st", Path("x"), texts)
    row = study.Row("1_a", output, {"a": (1.0, 1)}, [study.Cost(1, 1.0, 1.0)], None)
    results = study.compare("toy", "x", "test", [row], references, 1, "zh-CN")
    score = results["significance"][0]["score"]
    assert score > 50  # by 13a it is one word, and wrong
    assert results["systems"][0]["bleu"]["avg"] == score
    assert results["target_lang"] == "zh-CN"


def test_cost_adds_up_both_phases(results):
    """Two phases of two epochs, ten batches and a minute each; two batches an update."""
    cost = results["systems"][0]["cost"]
    assert cost == {"updates": 20, "minutes": 4.0, "memory_gb": 1.5}


def test_similarity_counts_the_utterances_of_all_folds_alike(work, results):
    first, *others = (entry["similarity"] for entry in results["systems"])
    assert first == pytest.approx({"aligned": 0.5, "unaligned": 0.15, "difference": 0.35})
    assert others == [None, None]
    path = work / "f0/exp/1_a/report/similarity.json"
    assert study.read_similarity([path], "dev") is None


def test_the_table_is_in_both_reports(work, results):
    folder = work / "report/ablation"
    lines = (folder / "RESULTS.md").read_text().splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("|")]
    cells = {row[0].strip(): [cell.strip() for cell in row] for row in rows}
    assert list(cells)[2:] == ["1_a", "2_b", "3_c"]  # after the header and the line below it
    assert cells["3_c"][1:4] == ["100.0", "100.0", "100.0"]
    assert cells["1_a"][5:7] == ["", ""]
    assert [cells[row][9] for row in ("row", "1_a", "2_b")] == ["similarity", "0.350", ""]
    for page in (folder / "index.html", work / "report/index.html"):
        html = page.read_text()
        assert "Study: ablation" in html
        assert '<td class="text">3_c</td>' in html
        assert "the row above" in html
    assert "not ours" in (folder / "RESULTS.md").read_text()


def test_an_utterance_in_two_folds_is_refused(work):
    part = scoring.read_references(work / "f0/raw", "test", LANGS)["st"]
    with pytest.raises(DataError, match="'f0_es_speaker-0' is in the test sets of two folds"):
        study.pool([part, part])


def test_likelihoods_of_other_utterances_are_refused(work, tmp_path):
    reference = read_table(work / "f0/raw/test_es/text.tgt")
    table = read_table(work / "f0/exp/1_a/decode/test_es/nll.st")
    del table["f0_es_speaker-3"]
    write_table(tmp_path / "nll.st", table)
    with pytest.raises(DataError, match=r"only this or the reference has 'f0_es_speaker-3'"):
        study.read_nll(tmp_path / "nll.st", reference)


def test_a_row_that_is_not_decoded_is_one_line(work, tmp_path):
    options = ["--rows", "1_a 4_d", "--out", tmp_path / "report"]
    done = compare(work, *options, check=False)
    assert done.returncode == 1
    folder = work / "f0/exp/4_d/decode"
    assert done.stderr == f"error: {folder}: nothing is decoded here (stage 7)\n"
    assert not (tmp_path / "report").exists()


def pool(work: Path, out: Path, *further, check: bool = True) -> Outcome:
    """The first row of both folds, put together."""
    return run_tool(
        "pool_folds", *both_folds(work), "--langs", " ".join(LANGS), "--system", "comsl=1_a/decode",
        *further, "--out", out, check=check,
    )  # fmt: skip


def test_folds_put_together_score_as_the_study_scores_them(work, results, tmp_path):
    pool(work, tmp_path)
    references = scoring.read_references(tmp_path / "raw", "test", LANGS)
    outputs = scoring.read_outputs({"comsl": tmp_path / "comsl"}, "test", references)
    (ours,) = scoring.score("toy", "test", references, outputs)["systems"]
    row = results["systems"][0]
    assert ours["bleu"] == row["bleu"]
    assert ours["utterances"] == row["utterances"] == {"es": 10, "it": 10}


def test_folds_that_cannot_be_put_together_are_one_line(work, tmp_path):
    lacking = pool(work, tmp_path, "--system", "other=4_d/decode", check=False)
    folder = work / "f0/exp/4_d/decode/test_es"
    assert lacking.stderr == f"error: {folder}: nothing is decoded here (stages 7 and 8)\n"
    twice = pool(work, tmp_path, "--fold", work / "f0/raw", work / "f0/exp", check=False)
    assert "'f0_es_speaker-0' is in two of the sets" in twice.stderr


# ---- likelihood


def test_likelihood_of_one_utterance_is_the_models_own_loss(tiny_lm, tokenizer, batch):
    """One by one, they add up to the loss that training has on the padded batch."""
    from test_model import OFF, build, single

    from comsl.inference import SpeechTranslator

    model = build(tiny_lm, tokenizer, **(OFF | {"w_st": 1.0, "alpha_st": 0.0}))
    translator = SpeechTranslator(model)
    texts = [(lang, text) for lang, pairs in PAIRS.items() for _, text in pairs[:2]]
    waves = [single(batch, row)["speech"][0].numpy() for row in range(4)]
    scores = [
        translator.score(wave, text, lang) for wave, (lang, text) in zip(waves, texts, strict=True)
    ]
    stats = model(**batch)[1]
    total, tokens = (sum(column) for column in zip(*scores, strict=True))
    assert total / 4 == pytest.approx(float(stats["ce_st"]), rel=1e-5)
    assert total / tokens == pytest.approx(float(stats["ce_st_token"]), rel=1e-5)
