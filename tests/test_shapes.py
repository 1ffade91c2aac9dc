"""Shape files hold what a training has room for; the rest is listed, or named in one line."""

import pytest
from conftest import run_tool, write_texts

from comsl.corpora.kaldi import read_table, write_table
from comsl.errors import DataError
from comsl.training.encoder_states import check_room


def test_texts_that_are_too_long_are_left_out_and_listed(tiny_lm, tokenizer, tmp_path):
    """Of both texts, and of what is made in advance; an empty transcript is none."""
    raw = write_texts(tmp_path / "raw" / "train")
    sources = read_table(raw / "text.src") | {"it-003": ""}
    write_table(raw / "text.src", sources)
    targets = read_table(raw / "text.tgt")
    lengths = {
        key: max(len(tokenizer.encode(text, "en")) for text in (sources[key], targets[key]))
        for key in sources
    }
    limit = sorted(lengths.values())[4]
    kept = {key for key, length in lengths.items() if length <= limit}
    command = ["token_lengths", "--language_model", tiny_lm, raw, "--max_tokens"]
    run_tool(*command, limit)
    for shape in ("source_shape", "target_shape"):
        assert read_table(raw / shape).keys() == kept
    assert read_table(raw / "source_shape")["it-003"] == "2"
    _, *listed = (raw / "dropped.tsv").read_text().splitlines()
    assert {line.split("\t")[0] for line in listed} == sources.keys() - kept
    assert all(f"more than {limit}" in line for line in listed)

    options = ["--raw", raw.parent, "--out", tmp_path / "teacher", "--sets", "train"]
    run_tool("extract_teacher", *options, "--language_model", tiny_lm)
    assert read_table(tmp_path / "teacher/train/feats.scp").keys() == kept
    failed = run_tool(*command, 2, check=False)
    assert failed.returncode == 1
    assert f"\nerror: {raw}: nothing is left: fr-000 (" in failed.stderr


def test_speech_and_transcript_must_fit_into_the_language_model(tmp_path):
    """101 and 100 positions behind the adapter."""
    check_room(tmp_path, "a", tokens=20, frames=401, ratio=4, positions=131)
    check_room(tmp_path, "b", tokens=30, frames=397, ratio=4, positions=131)
    with pytest.raises(DataError, match=r"utterance 'b': .* take 131 positions, .* has 130; lower"):
        check_room(tmp_path, "b", tokens=30, frames=397, ratio=4, positions=130)


def test_a_text_of_the_test_set_that_does_not_fit_is_named_before_training(tiny_lm, tmp_path):
    """Whose tiny model has 256 positions."""
    train, test = (write_texts(tmp_path / name) for name in ("train", "test_fr"))
    options = ["--language_model", tiny_lm, train, "--test_set", "test"]
    run_tool("token_lengths", *options)
    assert not (test / "target_shape").exists()
    write_table(test / "text.tgt", read_table(test / "text.tgt") | {"fr-001": "It is. " * 200})
    failed = run_tool("token_lengths", *options, check=False)
    assert failed.returncode == 1
    assert f"error: {test}/text.tgt: 1 texts don't fit" in failed.stderr
    assert "256 positions, such as 'fr-001' of " in failed.stderr
