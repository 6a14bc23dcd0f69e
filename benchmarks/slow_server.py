"""A server with slow answers, some much slower than others; in a process of its own.

    python -m benchmarks.slow_server 0.25

The argument is the median of the seconds that an answer takes; the mean is a third more, and one in
a hundred takes over five times as long. How long depends on the prompt alone, so that all clients
wait for the same. It writes its port to standard output.
"""

from __future__ import annotations

import asyncio
import random
import sys
import zlib

from benchmarks import wire

_SPREAD = 0.75
_ANSWER = wire.encode_response(wire.make_answer(100, details=False))


class _Connection(asyncio.Protocol):
    """One connection, over which one request comes after the other."""

    def __init__(self, median: float) -> None:
        self._median = median
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        size = 0
        for line in head.lower().split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                size = int(value)
        if not separator or len(body) < size:
            return
        self._received = b""
        random_source = random.Random(zlib.crc32(body.replace(b" ", b"")))
        seconds = self._median * random_source.lognormvariate(0, _SPREAD)
        asyncio.get_running_loop().call_later(seconds, self._transport.write, _ANSWER)


async def _serve(median: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(median), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
