"""Digests texts, as the example gateway's service in Python.

One request per line, one JSON object back: `health` and `digest <text>`. It listens on a Unix socket, or on
`127.0.0.1:<port>` where there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import socketserver
import sys

import bcrypt

VERSION = "0.1.0"
MAX_REQUEST_BYTES = 1 << 20
DIGEST_BYTES = 8
ROUNDS = 8


def answer(request: str) -> dict[str, object]:
    verb, _, rest = request.partition(" ")
    if verb == "health":
        return {"status": "ok", "version": VERSION}
    if verb == "digest":
        # Slow on purpose, as a key derivation should be; empty texts have no key.
        key = bcrypt.kdf(rest.encode() or b" ", b"echo-gateway", DIGEST_BYTES, ROUNDS, ignore_few_rounds=True)
        return {"digest": key.hex()}
    return {"error": "unknown request; there are `health` and `digest <text>`"}


class Client(socketserver.StreamRequestHandler):
    """Answers until the client goes away."""

    def handle(self) -> None:
        while (line := self.rfile.readline(MAX_REQUEST_BYTES)).endswith(b"\n"):
            text = json.dumps(answer(line.decode("utf-8", "replace").rstrip("\r\n")), separators=(",", ":"))
            try:
                self.wfile.write(text.encode() + b"\n")
            except OSError:
                return


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = os.name == "posix"


def listen(place: str) -> socketserver.BaseServer:
    if "/" not in place and "\\" not in place:
        host, _, port = place.rpartition(":")
        return TcpServer((host, int(port)), Client)
    if not hasattr(socketserver, "ThreadingUnixStreamServer"):
        raise OSError(f"there are no sockets such as `{place}` here; use 127.0.0.1:<port>")

    class UnixServer(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    # A socket that nobody listens on was left by one that was killed.
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(FileNotFoundError):
        try:
            probe.connect(place)
        except ConnectionRefusedError:
            os.unlink(place)
    return UnixServer(place, Client)


def main() -> int:
    parser = argparse.ArgumentParser(prog="digest", description="Digests texts.")
    parser.add_argument("--listen", required=True, metavar="PLACE", help="a socket's path, or 127.0.0.1:port")
    parser.add_argument("--version", action="version", version=VERSION)
    place = parser.parse_args().listen
    try:
        server = listen(place)
    except (OSError, ValueError) as error:
        print(f"digest: cannot listen: {error}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"listening on {place}", flush=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
