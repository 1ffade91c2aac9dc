"""Subtitles that can be read: widths, lines, times; and as files."""

import random
from itertools import pairwise

import pysubs2
import pytest

from comsl.recordings.translation import Segment
from comsl.serving.subtitles import cues, render

WORDS = "the a please telephone, extraordinary. connection your 12 of party! Donaudampfschiff"


@pytest.mark.parametrize("seed", range(3))
def test_cues_can_be_read_and_lose_nothing(seed):
    """Of 200 segments: fast, slow, of one word and of a hundred."""
    random.seed(seed)
    segments, time = [], 0.0
    for _ in range(200):
        words = random.choices(WORDS.split(), k=random.choice([1, 3, 10, 30, 100]))
        seconds = random.uniform(0.2, 0.6) * len(words)
        segments.append(Segment(time, time + seconds, " ".join(words)))
        time += seconds + random.choice([0.0, 0.5, 5.0])
    found = cues(segments)
    assert " ".join(line for cue in found for line in cue.lines) == " ".join(
        s.text for s in segments
    )
    for cue, following in pairwise(found):
        assert 1 <= len(cue.lines) <= 2
        assert max(map(len, cue.lines)) <= 42
        assert cue.start < cue.end <= following.start + 1e-6
        assert cue.end - cue.start >= min(1, following.start - cue.start) - 1e-6
    one_word = {s.start for s in segments if " " not in s.text}
    assert all(cue.end - cue.start <= 9 for cue in found if cue.start not in one_word)
    edges = {round(cue.start, 6) for cue in found}
    assert all(round(segment.start, 6) in edges for segment in segments)


def test_lines_break_evenly_and_after_punctuation():
    text = "To listen to your messages, press one; to change your greeting, press two."
    (cue,) = cues([Segment(1.0, 5.0, text)])
    assert cue.lines == [
        "To listen to your messages, press one;",
        "to change your greeting, press two.",
    ]
    (cue,) = cues([Segment(1.0, 1.5, "No.")])
    assert (cue.start, cue.end) == (1.0, 2.0)


def test_chinese_is_broken_between_characters():
    text = "您好，请在听到提示音之后留言，或者按井号键转接到另一位客服代表，谢谢您的来电。" * 2
    found = cues([Segment(0.0, 12.0, text)])
    assert "".join(line for cue in found for line in cue.lines) == text
    assert all(len(line) <= 21 for cue in found for line in cue.lines)


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_files_keep_what_looks_like_their_codes(form):
    texts = [r"a {\an8}b c\nd \N", "1 < 2 & 3 > <b>", "é “ж” 猫"]
    segments = [Segment(3661.5 + 2 * n, 3662.75 + 2 * n, text) for n, text in enumerate(texts)]
    written = render(segments, form)
    lines = written.splitlines()
    assert lines[0] == ("WEBVTT" if form == "vtt" else "1")
    comma = "," if form == "srt" else "."
    assert f"01:01:01{comma}500 --> 01:01:02{comma}750" in lines
    shown = written.replace("\u2060", "")
    if form == "vtt":
        shown = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert all(text in shown for text in texts)
    read = pysubs2.SSAFile.from_string(written, form)
    assert [(e.start, e.end) for e in read] == [(1000 * s.start, 1000 * s.end) for s in segments]
    assert render([], form).strip() in ("", "WEBVTT")
