"""A TGI server for one machine, with a model of its own.

`LocalServer` runs beside the caller, `serve` is the whole command. Both need the extra
`hfgen[server]`, and import it only when a server is made.
"""

from hfgen._core.errors import LocalServerError
from hfgen.server._local_server import LocalServer, serve
from hfgen.server._options import ServerOptions

__all__ = ["LocalServer", "LocalServerError", "ServerOptions", "serve"]
