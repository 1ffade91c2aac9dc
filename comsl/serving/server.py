"""The HTTP server: OpenAI's audio API, the page, health and metrics, by FastAPI."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import numpy as np
from fastapi import FastAPI, File, Form, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException  # fastapi's too, and those of unknown paths

from comsl.corpora.audio import read_blocks
from comsl.corpora.samples import RATE
from comsl.errors import DataError
from comsl.languages import LANGUAGES
from comsl.recordings.translation import Detector, Recording, Segment, System, translate_recordings
from comsl.serving import subtitles
from comsl.serving.batching import Batcher, Client, ClientGone
from comsl.serving.formats import as_dict
from comsl.serving.gate import Gate, refusal
from comsl.serving.metrics import Metrics

PAGE = Path(__file__).parent / "page.html"
POLICY = (  # the page loads nothing from elsewhere
    "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; media-src blob:"
)
FORMATS = Literal["json", "text", "srt", "vtt", "verbose_json"]
TASKS = {"st": "translate", "asr": "transcribe"}  # as OpenAI calls them
WHISPER_1 = "whisper-1"  # what OpenAI calls Whisper
LONGEST_TEXT = 2000  # letters of a segment: half a minute of speech has a third of it
HTTP_GONE = 499  # nginx's status for a client that has gone away; nobody sees it but the metrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What a server takes: bytes of an upload, seconds of a recording, and recordings at a time."""

    upload: int
    seconds: float
    requests: int


class TooLong(DataError):
    """A recording is longer than the server's limit."""


class NoSuchSystem(DataError):
    """The server has no system of that name."""


class Cues(BaseModel):
    """Segments to be written as subtitles."""

    segments: list[Segment]
    format: Literal["srt", "vtt"] = "srt"

    def check(self) -> None:
        """DataError: a segment has no text, too much of it, or no time to be shown at."""
        for number, segment in enumerate(self.segments, start=1):
            if not segment.text.strip() or len(segment.text) > LONGEST_TEXT:
                raise DataError(f"segment {number}: 1 to {LONGEST_TEXT} letters, please")
            if not 0 <= segment.start <= segment.end < inf:
                raise DataError(f"segment {number}: from {segment.start} to {segment.end} s")


class Service:
    """Recordings in, texts out, for many clients at once; no HTTP in it."""

    def __init__(
        self,
        systems: Mapping[str, System],
        detector: Detector,
        limits: Limits,
        metrics: Metrics,
        batch_size: int,
        beam_size: int,
    ):
        self.systems, self.detector = systems, detector
        self.limits, self.metrics, self.beam_size = limits, metrics, beam_size
        self.batcher = Batcher(batch_size, metrics.batch.observe)
        self.threads = ThreadPoolExecutor(limits.requests, "recordings")
        self.open = 0  # requests

    def client(self, system: str) -> Client:
        """What hears one request. NoSuchSystem: it names another."""
        name = "whisper" if system == WHISPER_1 else system
        if name not in self.systems:
            raise NoSuchSystem(f"no model '{system}': there are {' '.join(self.systems)}")
        return Client(self.batcher, self.systems[name], self.detector)

    def hear(self, client: Client, file: BinaryIO, lang: str | None, task: str) -> Recording:
        """One recording. DataError: it can't be heard, or not in this language."""
        (recording,) = translate_recordings(
            client, [self._blocks(client, file)], lang, task, client, beam_size=self.beam_size
        )
        if recording.error:
            raise recording.error
        self.metrics.audio.inc(recording.seconds)
        return recording

    def _blocks(self, client: Client, file: BinaryIO) -> Iterator[np.ndarray]:
        seconds = 0.0
        for block in read_blocks(file, skip_damaged=True):
            client.check()
            seconds += len(block) / RATE
            if seconds > self.limits.seconds:
                raise TooLong(f"a recording of over {self.limits.seconds / 60:g} minutes")
            yield block

    def close(self) -> None:
        """When the requests are done."""
        self.batcher.close()
        self.threads.shutdown()


def create_app(
    systems: Mapping[str, System],
    detector: Detector,
    limits: Limits,
    key: str | None = None,
    batch_size: int = 16,
    beam_size: int = 5,
) -> FastAPI:
    """The server. systems: by the name that requests have as `model`, the usual one first; key:
    what clients must send (`Authorization: Bearer KEY`), None: nothing."""
    metrics = Metrics()
    service = Service(systems, detector, limits, metrics, batch_size, beam_size)
    metrics.open.set_function(lambda: service.open)
    metrics.waiting.set_function(lambda: len(service.batcher.waiting))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(title="ComSL", lifespan=lifespan)
    app.add_middleware(Gate, metrics=metrics, limit=limits.upload, key=key)
    _answer_errors(app)
    _route_audio(app, service)
    _route_rest(app, service, needs_key=key is not None)
    return app


def _route_audio(app: FastAPI, service: Service) -> None:
    """OpenAI's audio API."""

    async def answer(task: str, request: Request, file: UploadFile, model, language, form):
        if service.open >= service.limits.requests:
            raise HTTPException(503, "too many requests at once: try again", {"Retry-After": "2"})
        service.open += 1
        try:
            recording = await _in_thread(service, request, file, model, _code(language), task)
        finally:
            service.open -= 1
        return _format(recording, form, task)

    @app.post("/v1/audio/translations")
    async def translations(
        request: Request,
        file: Annotated[UploadFile, File()],
        model: Annotated[str, Form()],
        language: Annotated[str | None, Form()] = None,
        response_format: Annotated[FORMATS, Form()] = "json",
    ) -> Response:
        """Speech to text in the target language. `language`, of the speech, is an extension."""
        return await answer("st", request, file, model, language, response_format)

    @app.post("/v1/audio/transcriptions")
    async def transcriptions(
        request: Request,
        file: Annotated[UploadFile, File()],
        model: Annotated[str, Form()],
        language: Annotated[str | None, Form()] = None,
        response_format: Annotated[FORMATS, Form()] = "json",
        stream: Annotated[bool, Form()] = False,
    ) -> Response:
        """Speech to text in its own language."""
        if stream:
            raise HTTPException(400, "stream: a transcript comes as a whole here")
        return await answer("asr", request, file, model, language, response_format)


def _route_rest(app: FastAPI, service: Service, needs_key: bool) -> None:
    """Models, subtitles, health, metrics and the page."""

    @app.get("/v1/models")
    async def models() -> dict:
        names = [{"id": name, "object": "model", "owned_by": "comsl"} for name in service.systems]
        return {"object": "list", "data": names}

    @app.post("/v1/subtitles")
    def write_subtitles(cues: Cues) -> PlainTextResponse:  # in a thread: it computes
        """Segments as a file of subtitles; an extension."""
        cues.check()
        return PlainTextResponse(subtitles.render(cues.segments, cues.format))

    @app.get("/health")
    async def health() -> dict:
        known = {name: list(system.languages) for name, system in service.systems.items()}
        return {"status": "ok", "models": known, "key": needs_key}

    @app.get("/metrics")
    async def prometheus() -> Response:
        return Response(*service.metrics.render())

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE, headers={"Content-Security-Policy": POLICY})


async def _in_thread(
    service: Service, request: Request, file: UploadFile, model: str, lang: str | None, task: str
) -> Recording:
    """Hear an upload in a thread of the service; given up when its client goes away."""
    client = service.client(model)
    work = asyncio.get_running_loop().run_in_executor(
        service.threads, service.hear, client, file.file, lang, task
    )
    while not (await asyncio.wait([work], timeout=0.25))[0]:
        if await request.is_disconnected():
            client.gone.set()
    return work.result()


def _code(language: str | None) -> str | None:
    """Ours of a language of OpenAI's API, which are Whisper's; ours are taken too."""
    for known in LANGUAGES.values():
        if language == known.whisper:
            return known.code
    return language or None


def _format(recording: Recording, form: str, task: str) -> Response:
    if form == "json":
        return JSONResponse({"text": recording.text})
    if form == "verbose_json":
        return JSONResponse({"task": TASKS[task]} | as_dict(recording))
    if form == "text":
        return PlainTextResponse(recording.text + "\n")
    return PlainTextResponse(subtitles.render(recording.segments, form))


def _answer_errors(app: FastAPI) -> None:
    """What goes wrong is one line, with the status that fits."""

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return refusal(error.status_code, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return refusal(400, f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(DataError)
    async def data(_: Request, error: DataError) -> Response:
        status = {TooLong: 413, NoSuchSystem: 404}.get(type(error), 400)
        return refusal(status, " ".join(str(error).split()))

    @app.exception_handler(ClientGone)
    async def gone(_: Request, error: ClientGone) -> Response:
        return refusal(HTTP_GONE, "the client has gone")

    @app.exception_handler(CancelledError)
    async def stopping(_: Request, error: CancelledError) -> Response:
        return refusal(503, "the server is being stopped")

    @app.exception_handler(OSError)
    async def system(_: Request, error: OSError) -> Response:
        logger.error("%s", error)
        full = error.errno == errno.ENOSPC
        return refusal(
            507 if full else 500, "no room for the upload" if full else "a fault of ours"
        )

    @app.exception_handler(Exception)
    async def other(_: Request, error: Exception) -> Response:
        # uvicorn closes the connection after it: a client that kept it would lose its next request.
        return refusal(500, "a fault of the server: its log says more", {"Connection": "close"})
