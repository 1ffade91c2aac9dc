"""A headless Chromium, driven by WebDriver: Debian's packages chromium and chromium-driver."""

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver's name of an element's reference
LACKING = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]


class Browser:
    """One window. Elements are named by CSS selectors."""

    def __init__(self, driver: str, options: dict):
        self.session = f"{driver}/session"
        capabilities = {"alwaysMatch": {"goog:chromeOptions": options}}
        made = self._call("POST", "", {"capabilities": capabilities})
        self.session += f"/{made['sessionId']}"

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def click(self, selector: str) -> None:
        self._call("POST", f"/element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        """Into a field; of a file's field the file's path."""
        self._call("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        return self.run(script, selector)

    def run(self, script: str, *arguments):
        """What a piece of JavaScript returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script: str, *arguments):
        """Until a piece of JavaScript returns something, and what that is."""
        for _ in range(200):
            if found := self.run(script, *arguments):
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within 20 s: {script}: {self.texts('body')}")

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def close(self) -> None:
        self._call("DELETE", "")

    def _find(self, selector: str) -> str:
        element = self._call("POST", "/element", {"using": "css selector", "value": selector})
        return element[ELEMENT]

    def _call(self, method: str, path: str, content: dict | None = None):
        data = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.session + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]


@contextmanager
def browser(microphone: Path, downloads: Path) -> Iterator[Browser]:
    """A browser whose microphone plays a WAV file once, and which keeps downloads in a folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            arguments = [
                *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
                *("--autoplay-policy=no-user-gesture-required", "--window-size=960,1100"),
                f"--use-file-for-fake-audio-capture={microphone}%noloop",
                f"--user-data-dir={profile}",
            ]
            preferences = {"download.default_directory": str(downloads)}
            window = Browser(
                f"http://127.0.0.1:{port}",
                {"binary": shutil.which("chromium"), "args": arguments, "prefs": preferences},
            )
            try:
                yield window
            finally:
                window.close()
    finally:
        driver.terminate()
        driver.wait(20)


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.05)
    raise AssertionError("chromedriver doesn't answer")
