"""The connections of urllib3, as the sync side makes them."""

from __future__ import annotations

import builtins
import socket

from urllib3 import exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from hfgen._sync.sockets import Watched, calling


class _Connecting(HTTPConnection):
    """A connection that tells the call which socket it goes over before it is connected."""

    def _new_conn(self) -> socket.socket:
        # urllib3's own hands the socket out only when it has connected, too late to cut it.
        try:
            return self._connected()
        except socket.gaierror as error:
            raise exceptions.NameResolutionError(self.host, self, error) from error
        except builtins.TimeoutError as error:
            raise exceptions.ConnectTimeoutError(self, str(error)) from error
        except OSError as error:
            raise exceptions.NewConnectionError(self, str(error)) from error

    def _connected(self) -> socket.socket:
        failure: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self._dns_host, self.port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(self.timeout)
                if calling.line is not None:
                    calling.line.attach(sock)
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure or OSError("the name has no address")


class _Plain(Watched, _Connecting):
    """A connection that the call can cut."""


class _TLS(Watched, _Connecting, HTTPSConnection):
    """The same, over TLS."""


class HTTPPool(HTTPConnectionPool):
    """Connections that the call can cut."""

    ConnectionCls = _Plain


class HTTPSPool(HTTPSConnectionPool):
    """The same, over TLS."""

    ConnectionCls = _TLS
