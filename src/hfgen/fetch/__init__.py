"""Values for `fetch=`, which send requests through clients of other HTTP libraries.

`from_httpx` takes a client of httpx or httpx2, sync or async; `from_requests` a session of
requests; `from_aiohttp` a session of aiohttp; `from_asgi` an ASGI application, which then answers
in process, without a socket. The caller closes the client; hfgen does not.

Headers, cookies and credentials of the client are not sent, because hfgen follows redirects itself
and sends a key only to the host it is for. Pass `api_key=` and `headers=` to hfgen.
"""

from hfgen.fetch._aiohttp import from_aiohttp
from hfgen.fetch._asgi import from_asgi
from hfgen.fetch._httpx import from_httpx
from hfgen.fetch._requests import from_requests

__all__ = ["from_aiohttp", "from_asgi", "from_httpx", "from_requests"]
