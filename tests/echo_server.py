"""The server with a system in it that computes nothing."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import soundfile
import uvicorn


class Echo:
    """A system that says what it was asked; it waits as long as `go_on` is not set."""

    languages, target_lang, longest = ("fr", "zh-CN"), "en", 12.0

    def __init__(self):
        self.batches, self.go_on = [], threading.Event()
        self.go_on.set()

    def generate(self, task, waves, langs, **search):
        self.batches.append(len(waves))
        assert self.go_on.wait(20)
        if "zh-CN" in langs:
            raise RuntimeError("the model fails")
        return [f"{task} of {lang}, beam {search['beam_size']}" for lang in langs]

    def detect(self, waves, languages):
        return ["fr"] * len(waves)


@contextmanager
def serving_at(app) -> Iterator[tuple[str, uvicorn.Server]]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def flac(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16000, format="FLAC")
    return buffer.getvalue()


def until(condition: Callable[[], object]) -> None:
    """Wait for it."""
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it didn't happen")
