"""`comsl serve`: OpenAI's client, bad requests, many clients, and the end."""

import io
import json
import os
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import openai
import pytest
from conftest import run_tool, write_whisper
from echo_server import Echo, flac, serving_at, until
from real_speech import prompts
from tiny_models import tiny_comsl

from comsl.corpora.samples import RATE
from comsl.inference import SpeechTranslator
from comsl.model.packed import save_packed
from comsl.serving import server as serving
from comsl.serving.batching import Batcher, Client
from comsl.serving.server import Limits, create_app
from comsl.serving.systems import WhisperSystem

KEY = "a secret"
HEAD = (
    b"POST /v1/audio/translations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a secret\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n"
)
LIMITS = Limits(upload=2_000_000, seconds=120, requests=20)


@pytest.fixture(scope="module")
def system() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def url(system) -> Iterator[str]:
    app = create_app({"comsl": system, "whisper": Echo()}, system, LIMITS, KEY)
    with serving_at(app) as (address, _):
        yield address


@pytest.fixture
def client(url) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)


@pytest.fixture(scope="module")
def clip() -> bytes:
    """A prompt of one piece."""
    return flac(prompts()[0])


def test_the_official_client_translates_and_transcribes(client, clip):
    translation = client.audio.translations.create(file=("a.flac", clip), model="comsl")
    assert translation.text == "st of fr, beam 5"
    options = {"file": ("a.flac", clip), "model": "whisper-1", "language": "fr"}
    assert client.audio.transcriptions.create(**options).text == "asr of fr, beam 5"
    whole = client.audio.transcriptions.create(**options, response_format="verbose_json")
    (segment,) = whole.segments
    assert (whole.task, whole.language, whole.text) == ("transcribe", "fr", segment.text)
    assert 0 < segment.start < segment.end <= whole.duration == round(len(prompts()[0]) / 16000, 3)
    srt = client.audio.transcriptions.create(**options, response_format="srt")
    assert srt.startswith("1\n00:00:00,")
    assert "asr of fr, beam 5" in srt
    vtt = client.audio.translations.create(
        file=("a.flac", clip), model="comsl", response_format="vtt"
    )
    assert vtt.startswith("WEBVTT")
    assert [model.id for model in client.models.list()] == ["comsl", "whisper"]


def test_what_a_browser_records_is_heard(client):
    """Opus in WebM, without a length in its header, is read to its end."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm", options={"live": "1"}) as container:
        stream = container.add_stream("libopus", rate=48000)
        frame = av.AudioFrame.from_ndarray(prompts()[0][None], "flt", "mono")
        frame.sample_rate = 16000
        resampler = av.AudioResampler("flt", "mono", 48000)
        for part in resampler.resample(frame) + resampler.resample(None):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    heard = client.audio.translations.create(
        file=("../../x.webm", buffer.getvalue()), model="comsl", response_format="verbose_json"
    )
    assert heard.duration == pytest.approx(len(prompts()[0]) / 16000, abs=0.1)
    assert heard.text


def test_segments_become_subtitles(url):
    cues = {"segments": [{"start": 1.5, "end": 3, "text": "R&B, again."}], "format": "vtt"}
    shown = "00:00:01.500 --> 00:00:03.000\nR&amp;B, again."
    assert shown in post(url, "subtitles", cues)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"text": " "}, "segment 1: 1 to 2000 letters, please"),
        ({"text": "a " * 1001}, "segment 1: 1 to 2000 letters, please"),
        ({"start": 4}, "segment 1: from 4.0 to 3.0 s"),
        ({"end": float("inf")}, "segment 1: from 1.5 to inf s"),
    ],
)
def test_segments_that_cannot_be_shown_are_refused(url, change, complaint):
    cues = {"segments": [{"start": 1.5, "end": 3, "text": "Again."} | change]}
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(url, "subtitles", cues)
    assert caught.value.code == 400
    assert complaint in caught.value.read().decode()


def post(url: str, path: str, content: dict) -> str:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/{path}", json.dumps(content).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


def playlist(target: Path) -> bytes:
    return (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{target}\n#EXT-X-ENDLIST\n".encode()
    )


@pytest.mark.parametrize(
    ("options", "status", "complaint"),
    [
        ({"file": ("a.flac", b"not audio" * 99)}, 400, "the recording can't be read"),
        ({"file": ("a.flac", b"")}, 400, "the recording can't be read"),
        ({"file": ("a.wav", "silent.wav")}, 200, ""),
        ({"file": ("a.mp3", "playlist")}, 400, "the recording can't be read"),
        ({"language": "de"}, 400, "language 'de' isn't one of the model's: fr zh-CN"),
        ({"language": "klingon"}, 400, "unknown language code 'klingon'"),
        ({"model": "gpt"}, 404, "no model 'gpt': there are comsl whisper"),
        ({"response_format": "mp3"}, 400, "response_format: Input should be 'json', 'text'"),
        ({"file": ("a.flac", b"x" * 2_100_000)}, 413, "an upload of more than 2 megabytes"),
        ({"file": ("a.flac", "long")}, 413, "a recording of over 2 minutes"),
        ({"language": "zh"}, 500, "a fault of the server: its log says more"),
    ],
)
def test_a_bad_request_has_its_status_and_the_server_lives_on(
    client, clip, tmp_path, options, status, complaint
):
    (tmp_path / "secret.mp3").write_bytes(clip)
    contents = {
        "silent.wav": flac(np.zeros(RATE)),
        "playlist": playlist(tmp_path / "secret.mp3"),
        "long": flac(np.zeros(121 * RATE)),
    }
    options = {"file": ("a.flac", clip), "model": "comsl"} | options
    name, content = options["file"]
    options["file"] = name, contents.get(content, content)
    if status == 200:
        assert client.audio.transcriptions.create(**options).text == complaint
    else:
        with pytest.raises(openai.APIStatusError) as refused:
            client.audio.transcriptions.create(**options)
        assert refused.value.status_code == status
        assert refused.value.body["message"].startswith(complaint)
    assert client.audio.translations.create(file=("a.flac", clip), model="comsl").text


def test_an_unknown_path_is_refused_as_all_is(url):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}/nowhere")
    assert refused.value.code == 404
    assert json.load(refused.value)["error"]["message"] == "Not Found"


def test_two_gigabytes_are_refused_before_they_come(url):
    with connect(url) as connection:
        connection.sendall(HEAD + b"Content-Length: 2147483648\r\n\r\n")
        assert b" 413 " in connection.recv(1000).splitlines()[0]


def test_an_endless_upload_is_refused(url):
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with connect(url) as connection:
        connection.sendall(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
            b'42\r\n--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\r\n'
        )
        for _ in range(40):
            connection.sendall(chunk)
        assert b" 413 " in connection.recv(1000).splitlines()[0]


def connect(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20)


def test_a_key_is_asked_for(url, clip):
    stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="another", max_retries=0)
    with pytest.raises(openai.AuthenticationError, match="wants its key"):
        stranger.audio.translations.create(file=("a.flac", clip), model="comsl")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{url}/metrics")
    with urllib.request.urlopen(f"{url}/health") as health:
        known = {"comsl": ["fr", "zh-CN"], "whisper": ["fr", "zh-CN"]}
        assert json.load(health) == {"status": "ok", "models": known, "key": True}


def gauge(url: str, name: str) -> float:
    """One of /metrics."""
    request = urllib.request.Request(f"{url}/metrics", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines())
    return float(lines[f"comsl_{name}"])


def occupy(pool: ThreadPoolExecutor, system: Echo, ask: Callable[[], str]) -> list[Future]:
    """Two batches, as many as there may be at a time, which wait."""
    first = pool.submit(ask)
    until(lambda: system.batches == [1])
    second = pool.submit(ask)
    until(lambda: system.batches == [1, 1])
    return [first, second]


def test_clients_at_once_share_batches_and_too_many_are_told_to_wait(system, client, url, clip):
    system.batches.clear()
    system.go_on.clear()

    def ask() -> str:
        options = {"file": ("a.flac", clip), "model": "comsl", "extra_body": {"language": "fr"}}
        return client.audio.translations.create(**options).text

    with ThreadPoolExecutor(20) as pool:
        asked = occupy(pool, system, ask)
        asked += [pool.submit(ask) for _ in range(18)]
        until(lambda: gauge(url, "waiting_pieces") == 18)
        with pytest.raises(openai.InternalServerError, match="too many requests") as refused:
            ask()
        assert refused.value.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "2"
        system.go_on.set()
        assert {answer.result() for answer in asked} == {"st of fr, beam 5"}
    assert sum(system.batches) == 20
    assert max(system.batches) in (9, 10)


def test_systems_give_in_two_threads_what_they_give_in_one(tmp_path, tiny_lm):
    """As several batches at a time need it."""
    whisper = WhisperSystem(write_whisper(tmp_path / "whisper.pt"))
    model = SpeechTranslator(tiny_comsl(tiny_lm, whisper.name))
    langs, waves = ["fr", "it"], [prompts()[0][:RATE], prompts()[1][: 2 * RATE]]
    pairs = [
        (lambda: whisper.generate("st", waves, langs), lambda: whisper.detect(waves, langs)),
        (lambda: model.generate("st", waves, langs), lambda: model.generate("asr", waves, langs)),
    ]
    with ThreadPoolExecutor(1) as pool:
        for work, other in pairs:
            expected = work(), other()
            working = pool.submit(work)
            while not working.done():
                assert other() == expected[1]
            assert working.result() == expected[0]


def test_nothing_is_computed_for_a_client_that_has_gone(system, client, url, clip):
    system.batches.clear()
    system.go_on.clear()

    def ask(client: openai.OpenAI = client) -> str:
        options = {"file": ("a.flac", clip), "model": "comsl", "extra_body": {"language": "fr"}}
        return client.audio.translations.create(**options).text

    with ThreadPoolExecutor(2) as pool:
        first = occupy(pool, system, ask)
        with pytest.raises(openai.APITimeoutError):
            ask(client.with_options(timeout=0.5))
        until(lambda: gauge(url, "open_requests") == 2)
        system.go_on.set()
        assert all(answer.result() for answer in first)
    assert ask()
    assert system.batches == [1, 1, 1]


def test_a_timeout_of_the_system_is_an_answer(system, monkeypatch):
    """It isn't taken for a result that is still to come, for which a client waits on and on."""

    def fail(*_, **__):
        raise TimeoutError("of the model")

    monkeypatch.setattr(system, "generate", fail)
    with closing(Batcher(1)) as batcher:
        client = Client(batcher, system, None)
        leaves = threading.Timer(5, client.gone.set)
        leaves.start()
        with pytest.raises(TimeoutError, match="of the model"):
            client.generate("st", [np.zeros(RATE)], ["fr"])
        leaves.cancel()


def test_a_full_disk_is_told(client, clip, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(serving, "read_blocks", full)
    with pytest.raises(openai.InternalServerError, match="no room for the upload") as refused:
        client.audio.translations.create(file=("a.flac", clip), model="comsl")
    assert refused.value.status_code == 507


def test_what_was_begun_is_answered_before_the_end(clip):
    system = Echo()
    system.go_on.clear()
    app = create_app({"comsl": system}, system, LIMITS)
    with ThreadPoolExecutor(1) as pool, serving_at(app) as (url, server):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        options = {"file": ("a.flac", clip), "model": "comsl"}
        asked = pool.submit(client.audio.translations.create, **options)
        until(lambda: system.batches)
        server.should_exit = True
        threading.Timer(0.5, system.go_on.set).start()
        assert asked.result().text == "st of fr, beam 5"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--port", "{taken}"], "Address already in use; choose another by --host, --port"),
        (["--host", "0.0.0.0"], "whoever reaches it could use it; set COMSL_API_KEY to a key"),
        (["--port", "99999"], "--port 99999: from 0, which chooses one, to 65535"),
        (["--batch_size", "0"], "--batch_size 0: at least 1, please"),
        (["--port", "0", "--model", "nothing"], "nothing: no such file"),
    ],
)
def test_what_cannot_be_served_is_one_line(monkeypatch, options, complaint):
    monkeypatch.delenv("COMSL_API_KEY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        done = run_tool("serve", *(word.format(taken=taken) for word in options), check=False)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command(tmp_path, tiny_lm, clip, monkeypatch):
    """Served within the limits that are asked for, asked, stopped."""
    limits = []
    monkeypatch.setattr(serving, "create_app", lambda *a: limits.append(a[2]) or create_app(*a))
    save_packed(tiny_comsl(tiny_lm, write_whisper(tmp_path / "whisper.pt")), tmp_path / "model")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def ask() -> str:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", timeout=60)
        client = client.with_options(max_retries=10)  # until it listens
        options = {"language": "fr", "response_format": "verbose_json", "model": "comsl"}
        try:
            heard = client.audio.transcriptions.create(file=("a.flac", clip), **options)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
        return heard.language

    stops = {stop: signal.getsignal(stop) for stop in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped too early"))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask)
        options = ["--max_mb", 1, "--max_minutes", 2, "--max_requests", 3]
        done = run_tool("serve", "--model", tmp_path / "model", "--port", port, *options)
        assert answer.result() == "fr"
    assert limits == [Limits(upload=1_000_000, seconds=120, requests=3)]
    for stop, handler in stops.items():
        signal.signal(stop, handler)
    assert done.stdout == f"listening: http://127.0.0.1:{port}\n"
