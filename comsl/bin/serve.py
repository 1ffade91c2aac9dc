"""Serve a model over HTTP: OpenAI's audio API, and a page to try it."""

import argparse
import ipaddress
import os
import signal
import socket
import sys

from comsl.cli import command, new_parser
from comsl.errors import DataError
from comsl.serving.command_line import add_dtype

KEY = "COMSL_API_KEY"


def parse_args() -> argparse.Namespace:
    """The command line. DataError: a number that makes no sense."""
    parser = new_parser(
        f"{__doc__} Clients must know the key in the environment variable {KEY}, where"
        " there is one; without one, only this machine is listened to."
    )
    add = parser.add_argument
    add(
        "--model",
        help="experiment's folder, packed model, or its id on the hub; without it comsl's own",
    )
    add("--whisper_model", default="base", help="Whisper's size or checkpoint")
    add("--host", default="127.0.0.1", help="address to listen at")
    add("--port", type=int, default=8000, help="port to listen at")
    add("--device", help="cpu, cuda, cuda:1, ...; without it, a GPU where there is one")
    add("--beam_size", type=int, default=5, help="hypotheses of the beam search")
    add("--batch_size", type=int, default=16, help="pieces of speech at a time")
    add("--max_mb", type=int, default=200, help="megabytes of an upload")
    add("--max_minutes", type=float, default=120, help="minutes of a recording")
    add(
        "--max_requests",
        type=int,
        default=32,
        help="requests at a time; further ones are refused (503)",
    )
    add_dtype(parser)
    args = parser.parse_args()
    if not 0 <= args.port <= 65535:
        raise DataError(f"--port {args.port}: from 0, which chooses one, to 65535")
    for name in ("beam_size", "batch_size", "max_mb", "max_minutes", "max_requests"):
        if getattr(args, name) < 1:
            raise DataError(f"--{name} {getattr(args, name)}: at least 1, please")
    return args


@command
def main() -> None:
    """Listen until it is stopped; then answer what was begun."""
    args = parse_args()
    key = os.environ.get(KEY)
    if not key and not _is_this_machine(args.host):
        raise DataError(f"--host {args.host}: whoever reaches it could use it; set {KEY} to a key")
    listener = _listen(args.host, args.port)  # before the model is loaded
    try:
        import uvicorn

        from comsl.serving.server import Limits, create_app
    except ModuleNotFoundError as error:
        raise DataError(f"{error}: pip install 'comsl[serve]' installs what it needs") from None
    from comsl.serving.systems import load_systems

    systems, detector = load_systems(args.model, args.whisper_model, args.device, args.dtype)
    limits = Limits(args.max_mb * 1_000_000, 60 * args.max_minutes, args.max_requests)
    app = create_app(systems, detector, limits, key, args.batch_size, args.beam_size)
    print(f"listening: http://{args.host}:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", timeout_keep_alive=30)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: sys.exit())  # when uvicorn is done
    uvicorn.Server(config).run([listener])


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket. DataError: it can't be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise DataError(f"{host}, port {port}: {error}; choose another by --host, --port") from None
    return listener


if __name__ == "__main__":
    main()
