"""The page of `comsl serve` in a real browser, whose microphone plays a real prompt."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import LACKING, Browser, browser
from echo_server import Echo, serving_at, until
from real_speech import prompts

from comsl.serving.server import Limits, create_app

pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"not installed: {' '.join(LACKING)}")


@pytest.fixture(scope="module")
def downloads(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """A prompt between two silences."""
    pause = np.zeros(16000, np.float32)
    file = tmp_path_factory.mktemp("recording") / "prompt.wav"
    soundfile.write(file, np.concatenate([pause, prompts()[0][: 3 * 16000], pause]), 16000)
    return file


@pytest.fixture(scope="module")
def page(recording, downloads):
    systems = {"comsl": Echo(), "whisper": Echo()}
    app = create_app(systems, systems["whisper"], Limits(10_000_000, 60, 8), "secret")
    with serving_at(app) as (url, _), browser(recording, downloads) as window:
        window.open(url)
        window.wait("return document.querySelectorAll('#language option').length == 3")
        yield window


def heard(page: Browser, systems: int = 1) -> list[str]:
    """The texts that are shown in the end."""
    page.wait("return document.querySelectorAll('section table').length == arguments[0]", systems)
    return page.texts("td.transcript, td.translation")


def test_without_the_key_it_says_so(page, recording):
    page.type("#file", str(recording))
    page.wait("return document.querySelector('.error')")
    (complaint,) = page.texts("#status")
    assert "wants its key" in complaint
    page.type("#key", "secret")


def test_what_the_microphone_hears_is_translated_and_played(page):
    page.click("#record")
    page.wait("return document.querySelector('#status').textContent == 'Recording: 4 s'")
    page.click("#record")
    assert heard(page) == ["asr of fr, beam 5", "st of fr, beam 5"]
    assert page.texts(".language") == ["Language: French (detected)"]
    start, end = (float(time.split(":")[1]) for time in page.texts(".cue")[0][2:].split(" – "))
    assert 0.3 < start < end < 5
    page.click(".cue")
    page.wait("return document.querySelector('tr.playing')")
    assert page.run("return document.querySelector('#player').currentTime") >= start - 0.1
    page.wait("return document.querySelector('#player').paused")
    assert page.run("return document.querySelector('#player').currentTime") < end + 0.5
    page.wait("return !document.querySelector('tr.playing')")  # its event comes a little later


def test_a_file_is_compared_and_downloaded(page, recording, downloads):
    page.click(".system[value=whisper]")
    page.run("document.querySelector('#file').value = ''")
    page.type("#file", str(recording))
    assert heard(page, systems=2) == ["asr of fr, beam 5", "st of fr, beam 5"] * 2
    page.click("section p button")
    until(lambda: list(downloads.glob("*.srt")))
    assert (downloads / "translation.srt").read_text().startswith("1\n00:00:0")


def test_a_file_that_is_no_recording_is_one_line(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no audio")
    page.run("document.querySelector('#file').value = ''")
    page.type("#file", str(tmp_path / "notes.txt"))
    page.wait("return document.querySelector('.error')")
    assert "the recording can't be read" in page.texts("#status")[0]
