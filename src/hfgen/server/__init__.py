"""A TGI-compatible server for one machine, with a small bundled model.

`LocalServer` runs on a thread beside the caller; `serve` runs until a signal stops it. Both need
the extra `hfgen[server]`, which is imported only when a server starts.
"""

from hfgen._core.errors import LocalServerError
from hfgen.server._local_server import LocalServer, serve
from hfgen.server._options import ServerOptions

__all__ = ["LocalServer", "LocalServerError", "ServerOptions", "serve"]
