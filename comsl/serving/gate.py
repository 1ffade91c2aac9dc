"""What stands before a server's routes: who may come in, with how much, and who is counted."""

import hmac
import time
from collections.abc import Mapping

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from comsl.serving.metrics import Metrics

GUARDED = ("/v1/", "/metrics")
AUDIO = ("/v1/audio/translations", "/v1/audio/transcriptions")  # which are counted


class Gate:
    """ASGI middleware. A request without the key is refused (401), and a body of more than `limit`
    bytes (413): at once where its length is stated, else as soon as that many have come. What the
    API answers is counted. key: None: no client needs one.

    A client may send all of its body before it reads an answer, and wouldn't see one if the
    connection were closed meanwhile: what comes after the answer is thrown away.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, limit: int, key: str | None):
        self.app, self.metrics, self.limit, self.key = app, metrics, limit, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, path, received, whole = time.monotonic(), scope["path"], 0, False

        async def limited() -> Message:
            nonlocal received, whole
            message = await receive()
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > self.limit:
                raise HTTPException(413, self._too_large())
            return message

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and path in AUDIO:
                self.metrics.answered(path, message["status"], time.monotonic() - started)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                await send(message | {"more_body": True})
                while not whole and (await receive()).get("more_body"):
                    pass
                message = {"type": "http.response.body"}
            await send(message)

        headers = dict(scope["headers"])
        if self.key and path.startswith(GUARDED) and not self._has_key(headers):
            app = refusal(401, "this server wants its key: Authorization: Bearer KEY")
        elif int(headers.get(b"content-length", 0)) > self.limit:
            app = refusal(413, self._too_large())
        else:
            app = self.app
        await app(scope, limited, counted)

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        sent = headers.get(b"authorization", b"")
        return hmac.compare_digest(sent, f"Bearer {self.key}".encode())

    def _too_large(self) -> str:
        return f"an upload of more than {self.limit / 1e6:g} megabytes"


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as OpenAI's clients expect it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": None}
    return JSONResponse({"error": error}, status, headers)
