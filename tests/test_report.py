"""The report through the real command: files, what they contain, and what is refused."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser

import pytest
import soundfile
from conftest import run_tool, write_mbart50
from synthetic_set import (
    ENGLISH,
    write_events,
    write_experiment,
    write_hypotheses,
    write_raw,
)

from comsl.errors import DataError
from comsl.evaluation.curves import read_run
from comsl.table import Table

PNG = b"\x89PNG\r\n"


class Page(HTMLParser):
    """Tags, their attributes and the text of an HTML file; checks that tags are balanced."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def sources(self, tag):
        return [attrs["src"] for name, attrs in self.tags if name == tag]


def run_score(root, *arguments, check=True):
    return run_tool(
        *("score", "--recipe", "toy", "--set", "test"),
        *("--raw", root / "raw", "--langs", "es it", "--out", root / "report"),
        *("--command", "./run.sh --langs 'es it'", *arguments),
        check=check,
    )


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Two systems and two training runs, scored by the command."""
    root = tmp_path_factory.mktemp("scored")
    write_raw(root / "raw")
    write_hypotheses(root / "exp/comsl/decode_beam5", root / "raw", "st asr mt")
    bad = root / "exp/whisper-zero-shot"
    write_hypotheses(bad, root / "raw", "st asr", lambda text: text.replace("a", "o"))
    write_experiment(root / "exp/comsl_frozen")
    write_experiment(root / "exp/comsl_joint", start=5000.0)
    (root / "report").mkdir()
    (root / "report/similarity_es.png").write_bytes(PNG)
    done = run_score(
        root,
        *("--system", f"comsl={root}/exp/comsl/decode_beam5"),
        *("--system", f"whisper-zero-shot={bad}"),
        *("--system", f"cascade={root}/exp/cascade"),
        *("--experiment", root / "exp/comsl_frozen", "--experiment", root / "exp/comsl_joint"),
    )
    return root, done


def test_command_prints_tables_and_path(scored):
    root, done = scored
    lines = done.stdout.splitlines()
    assert lines[-1] == f"report: {root}/report/index.html"
    row = next(line.split() for line in lines if line.startswith("comsl") and " st " in line)
    assert row == ["comsl", "st", "100.0", "100.0", "100.0", "100.0", "100.0"]
    assert "cascade: no hypotheses" in done.stderr
    assert not list((root / "report").glob(".*"))  # nothing temporary is left


def test_results_json(scored):
    results = json.loads((scored[0] / "report/results.json").read_text())
    assert [(entry["name"], entry["task"]) for entry in results["systems"]] == [
        *(("comsl", task) for task in ("st", "mt", "asr")),
        *(("whisper-zero-shot", task) for task in ("st", "asr")),
    ]
    assert results["run"]["command"] == "./run.sh --langs 'es it'"
    assert results["run"]["versions"]["sacrebleu"]
    assert results["significance"][0]["baseline"] == "whisper-zero-shot"


def test_further_sets_have_tables_of_their_own_in_their_languages(tmp_path):
    write_raw(tmp_path / "raw")
    shutil.copytree(tmp_path / "raw/test_it", tmp_path / "raw/test_other_it")
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st asr")
    write_hypotheses(
        tmp_path / "whisper", tmp_path / "raw", "st", lambda text: text.replace("a", "o")
    )
    named = [f"comsl={tmp_path}/comsl", f"whisper-zero-shot={tmp_path}/whisper"]
    systems = [word for name in named for word in ("--system", name)]
    run_score(tmp_path, *systems)
    alone = json.loads((tmp_path / "report/results.json").read_text())
    done = run_score(tmp_path, *systems, "--set", "test test_other test_absent")
    assert "no set test_absent in any of the languages es it" in done.stderr
    results = json.loads((tmp_path / "report/results.json").read_text())
    assert alone["further"] == []
    (other,) = results.pop("further")
    for name in ("further", "run"):
        alone.pop(name)
    results.pop("run")
    assert results == alone
    assert other["split"] == "test_other"
    assert other["systems"][0]["utterances"] == {"it": 5}
    assert other["systems"][2]["bleu"]["it"] == results["systems"][2]["bleu"]["it"] < 90
    assert other["significance"][0]["utterances"] == 5
    titles = re.findall("^## (.*)", (tmp_path / "report/RESULTS.md").read_text(), re.MULTILINE)
    assert (
        titles.index("BLEU") < titles.index("Significance") < titles.index("BLEU, test_other set")
    )
    assert "Significance, test_other set" in titles


def test_published_scores_stand_beside_ours_and_are_marked(tmp_path):
    """Their own decimals, nothing in the columns that they do not give, only in BLEU's table."""
    write_raw(tmp_path / "raw")
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st")
    systems = [
        {"name": "A", "bleu": {"avg": 30.77}},
        {"name": "B", "bleu": {"avg": 29.7, "high": 35}, "derived": "31.5 - 1.8"},
        {"name": "C", "bleu": {"avg": 40.1}, "source": "another"},
    ]
    published = {"split": "test", "target_lang": "en", "langs": "es it", "source": "Their paper"}
    (tmp_path / "p.json").write_text(json.dumps(published | {"systems": systems}))
    options = ("--system", f"comsl={tmp_path}/comsl", "--published", tmp_path / "p.json")
    run_score(tmp_path, *options)
    text = (tmp_path / "report/RESULTS.md").read_text()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["A (published)", "st", "", "", "", "", "30.77"] in table
    assert ["B (published, 31.5 - 1.8)", "st", "", "", "35", "", "29.7"] in table
    assert ["C (published, another)", "st", "", "", "", "", "40.1"] in table
    assert text.count("A (published)") == 1
    assert "Published, not ours: Their paper" in text
    assert "A (published)" in (tmp_path / "report/index.html").read_text()
    done = run_score(tmp_path, *options, "--langs", "es")
    assert "p.json: of other sets or languages than test, left out" in done.stderr
    assert "published" not in (tmp_path / "report/RESULTS.md").read_text()


def test_the_highest_score_stands_below_the_systems(tmp_path):
    """References as the model's tokens: a vocabulary without their letters can't reach 100."""
    write_raw(tmp_path / "raw")
    model = write_mbart50(tmp_path / "mbart", list(ENGLISH))
    references = tmp_path / "raw/test_it/text.tgt"
    references.write_text(references.read_text().replace("Thank you", "Спасибо"))
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st")
    done = run_score(tmp_path, "--system", f"comsl={tmp_path}/comsl", "--language_model", model)
    ceiling = json.loads((tmp_path / "report/results.json").read_text())["ceiling"]
    for scores in ceiling.values():
        assert scores["es"] == 100
        assert scores["it"] < 99
        assert f"{scores['it']:.1f}" in done.stdout
    assert done.stdout.count("references through comsl's tokenizer") == 2


def test_markdown_has_tables_signatures_command(scored):
    text = (scored[0] / "report/RESULTS.md").read_text()
    results = json.loads((scored[0] / "report/results.json").read_text())
    for piece in (
        *results["signature"].values(),
        results["normaliser"],
        "./run.sh --langs 'es it'",
    ):
        assert piece in text
    assert re.search(r"\| comsl +\| st +\| +100.0 \|", text)
    assert re.search(r"\| utterances +\| +\| +5 \| +5 \| +\| +\| +10 \|", text)
    (test,) = results["significance"]
    row = rf"\| comsl against whisper-zero-shot +\|.*\| +{test['p_value']:.4f} \|"
    assert re.search(row, text.split("## Significance")[1])


def test_html_is_self_contained_and_escaped(scored):
    html = (scored[0] / "report/index.html").read_text()
    page = Page(html)
    assert "script" not in [tag for tag, _ in page.tags]
    assert "link" not in [tag for tag, _ in page.tags]
    assert not re.search(r"(https?:|//)[a-z]", re.sub(r"base64,[^\"]*", "", html))
    for source in page.sources("img") + page.sources("audio"):
        assert source.startswith("data:")
    pictures = [base64.b64decode(source.split(",")[1]) for source in page.sources("img")]
    assert len(pictures) == 3
    assert all(picture.startswith(PNG) for picture in pictures)


def test_html_samples(scored):
    page = Page((scored[0] / "report/index.html").read_text())
    clips = page.sources("audio")
    assert len(clips) == 6  # three a language
    for clip in clips:
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(clip.split(",")[1])))
        assert (rate, len(samples)) == (16000, 16000)
    for number in (0, 1, 3):  # evenly spaced among five
        assert f"es_speaker-{number}" in page.text
        assert ENGLISH[number] in page.text
        assert ENGLISH[number].replace("a", "o") in page.text
        assert f"Introduzca la contraseña número {number}, por favor." in page.text


def test_html_escapes_hostile_text(tmp_path):
    write_raw(tmp_path / "raw")
    hostile = "<script>alert('x')</script> & <b>bold</b>"
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st", lambda text: hostile)
    run_score(tmp_path, "--system", f"comsl={tmp_path}/comsl")
    page = Page((tmp_path / "report/index.html").read_text())
    assert page.text.count(hostile) == 6
    assert {"script", "b"}.isdisjoint(tag for tag, _ in page.tags)


def test_curves_of_a_run(tmp_path):
    write_experiment(tmp_path / "joint", epochs=2)
    run = read_run(tmp_path / "joint")
    assert run.train["loss_st"].epochs == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert run.train["loss_st"].minutes == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert run.train["loss_st"].values == pytest.approx([8, 4, 8 / 3, 2])
    assert run.valid["bleu"].epochs == pytest.approx([1, 2])
    assert run.valid["bleu"].values == pytest.approx([2.5, 5])
    assert (run.epochs, run.minutes) == (2, pytest.approx(2))
    assert "iter_epoch" not in run.train


def test_curves_of_a_resumed_run(tmp_path):
    """Killed in epoch 2 and resumed an hour later: its pause and its lost steps do not show."""
    train = tmp_path / "run/tensorboard/train"
    first = [(60, 10, "loss_st", 4), (60, 10, "iter_epoch", 1), (90, 15, "loss_st", 3)]
    second = [(3660, 15, "loss_st", 2), (3690, 20, "loss_st", 1), (3690, 20, "iter_epoch", 2)]
    write_events(train / "events.out.tfevents.0.host.1.0", 0, first)
    write_events(train / "events.out.tfevents.3630.host.2.0", 3630, second)
    whole = (train / "events.out.tfevents.0.host.1.0").read_bytes()
    (train / "events.out.tfevents.0.host.1.0").write_bytes(whole + whole[-30:-5])  # torn off
    run = read_run(tmp_path / "run")
    assert run.train["loss_st"].values == [4, 2, 1]
    assert run.train["loss_st"].minutes == pytest.approx([1, 2, 2.5])
    assert run.train["loss_st"].epochs == pytest.approx([1, 1.5, 2])
    assert run.minutes == pytest.approx(2.5)


def test_curves_from_espnets_own_reporter(tmp_path):
    """The tags are those that ESPnet's trainer writes."""
    from espnet2.train.reporter import Reporter
    from torch.utils.tensorboard import SummaryWriter

    reporter = Reporter()
    folder = tmp_path / "run/tensorboard"
    writers = {side: SummaryWriter(str(folder / side)) for side in ("train", "valid")}
    for epoch in (1, 2):
        reporter.set_epoch(epoch)
        for side in writers:
            with reporter.observe(side) as observer:
                for _ in range(4):
                    observer.register({"loss_st": 8.0 / epoch}, weight=1.0)
                    observer.next()
        for side, writer in writers.items():
            reporter.tensorboard_add_scalar(writer, key1=side)
    for writer in writers.values():
        writer.close()
    run = read_run(tmp_path / "run")
    assert run.train["loss_st"].values == run.valid["loss_st"].values == [8, 4]
    assert run.valid["loss_st"].epochs == [1, 2]


def test_an_untrained_experiment(tmp_path):
    with pytest.raises(DataError, match="tensorboard/train: no finished epoch"):
        read_run(tmp_path / "nothing")


def test_table_formats():
    table = Table("T", ["name", "x", "n"], [["a", 1.25, 3], ["b", 10.0, 12]], decimals=2)
    assert table.format("github").splitlines()[-1].replace(" ", "") == "|b|10.00|12|"
    assert table.cells() == [["a", "1.25", "3"], ["b", "10.00", "12"]]


def break_audio(root):
    (root / "raw/wav/es.flac").write_bytes(b"no audio")


def lose_hypothesis(root):
    path = root / "comsl/test_es/text.st"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


@pytest.mark.parametrize(
    ("damage", "arguments", "message"),
    [
        (None, ["--system", "comsl"], "--system comsl: write it as NAME=DIR"),
        (None, ["--system", "comsl=x"], "'comsl' is given twice"),
        (None, ["--langs", "es xx"], "unknown language code 'xx'"),
        (None, ["--set", "eval"], "raw/eval_es/text"),
        (None, ["--experiment", "nowhere"], "nowhere/tensorboard/train: no finished epoch"),
        (break_audio, [], "es.flac: audio of utterance 'es_speaker-0'"),
        (lose_hypothesis, [], "'es_speaker-0' of the reference is missing"),
    ],
)
def test_bad_input_is_one_line(tmp_path, damage, arguments, message):
    write_raw(tmp_path / "raw")
    write_hypotheses(tmp_path / "comsl", tmp_path / "raw", "st")
    if damage:
        damage(tmp_path)
    system = ("--system", f"comsl={tmp_path}/comsl")
    done = run_score(tmp_path, *system, *arguments, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"error: [^\n]*\n", done.stderr)
    assert message in done.stderr
    assert not (tmp_path / "report").exists()
