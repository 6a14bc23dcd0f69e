"""Proxies that record what a server sends, or cut it."""

import http.client
import io

from helpers.http_proxy import LittleProxy


class Recorder(LittleProxy):
    """Records the last answer of the server."""

    def __init__(self):
        super().__init__()
        self._received = b""

    @property
    def body(self):
        """The body of the last answer."""
        response = http.client.HTTPResponse(_SocketOfBytes(self._received))
        response.begin()
        with response:
            return response.read()

    def _pump(self, client, upstream, *, until_next_request=False):
        self._received = b""
        recorded = _RecordingSocket(client, self._record)
        return super()._pump(recorded, upstream, until_next_request=until_next_request)

    def _record(self, piece):
        self._received += piece


class Cutter(LittleProxy):
    """Cuts the first streams after some events.

    Args:
        times: How many streams are cut.
        after: The number of events after which they are cut.
    """

    def __init__(self, *, times, after):
        super().__init__()
        self._remaining_cuts = times
        self._after = after
        self.cuts = 0

    def _pump(self, client, upstream, *, until_next_request=False):
        if not (self.request_lines[-1].startswith("POST ") and self._remaining_cuts):
            return super()._pump(client, upstream, until_next_request=until_next_request)
        self._remaining_cuts -= 1
        received = b""
        while received.count(b"data:") <= self._after:
            if not (piece := upstream.recv(65536)):
                client.sendall(received)
                return None
            received += piece
        # More events than that may have come at once.
        client.sendall(b"data:".join(received.split(b"data:")[: self._after + 1]))
        self.cuts += 1
        return None


class _RecordingSocket:
    """A socket that calls `record` with everything that is sent into it."""

    def __init__(self, connection, record):
        self._connection = connection
        self._tell = record

    def sendall(self, piece):
        self._tell(piece)
        self._connection.sendall(piece)

    def recv(self, size):
        return self._connection.recv(size)

    def fileno(self):
        return self._connection.fileno()


class _SocketOfBytes:
    """Received bytes in the place of the socket that `http.client` reads from."""

    def __init__(self, content):
        self._content = content

    def makefile(self, _):
        return io.BytesIO(self._content)
