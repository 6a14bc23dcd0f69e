"""The requests of the clients that are written by hand."""

from __future__ import annotations

import json

HEADERS = {"content-type": "application/json"}


def encode_body(prompt: str, *, stream: bool) -> bytes:
    """Return the body of a request to a TGI."""
    return json.dumps({"inputs": prompt, "parameters": {}, "stream": stream}).encode()


def encode_request(address: str, path: str, data: bytes) -> bytes:
    """Return a request as it goes over the wire."""
    host = address.removeprefix("http://")
    return (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n"
    ).encode() + data


def parse_port(address: str) -> int:
    """Return the port of the server."""
    return int(address.rpartition(":")[2])
