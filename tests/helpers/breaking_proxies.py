"""Proxies that see what a server sends, or break it off."""

import http.client
import io

from helpers.http_proxy import LittleProxy


class Recorder(LittleProxy):
    """Records what the server sent last."""

    def __init__(self):
        super().__init__()
        self._received = b""

    @property
    def body(self):
        """The body of the last answer."""
        response = http.client.HTTPResponse(_Received(self._received))
        response.begin()
        with response:
            return response.read()

    def _pump(self, one, other, *, until_asked=False):
        self._received = b""
        recorded = _Tapped(one, self._record)
        return super()._pump(recorded, other, until_asked=until_asked)

    def _record(self, piece):
        self._received += piece


class Cutter(LittleProxy):
    """Breaks off each of the first streams after some events.

    Args:
        times: How many streams.
        after: After so many events.
    """

    def __init__(self, *, times, after):
        super().__init__()
        self._left_to_cut = times
        self._after = after
        self.cuts = 0

    def _pump(self, one, other, *, until_asked=False):
        if not (self.asked[-1].startswith("POST ") and self._left_to_cut):
            return super()._pump(one, other, until_asked=until_asked)
        self._left_to_cut -= 1
        came = b""
        while came.count(b"data:") <= self._after:
            if not (piece := other.recv(65536)):
                one.sendall(came)
                return None
            came += piece
        # However much has come at once.
        one.sendall(b"data:".join(came.split(b"data:")[: self._after + 1]))
        self.cuts += 1
        return None


class _Tapped:
    """A socket that tells what is sent into it."""

    def __init__(self, connection, tell):
        self._connection = connection
        self._tell = tell

    def sendall(self, piece):
        self._tell(piece)
        self._connection.sendall(piece)

    def recv(self, size):
        return self._connection.recv(size)

    def fileno(self):
        return self._connection.fileno()


class _Received:
    """What has been received, as `http.client` wants it."""

    def __init__(self, content):
        self._content = content

    def makefile(self, _):
        return io.BytesIO(self._content)
