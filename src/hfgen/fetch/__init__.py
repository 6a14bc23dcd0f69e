"""Other HTTP libraries in place of hfgen's transports: what `fetch=` takes, made of their clients.

`from_httpx` takes a client of httpx or httpx2, sync or async; `from_requests` a session of
requests; `from_aiohttp` one of aiohttp; `from_asgi` an ASGI application, which then answers in
process, with no socket. The client stays the caller's: hfgen does not close it.

What the client has for every request (headers, cookies, credentials) is not sent, as hfgen itself
follows redirects, and sends the key nowhere but where it belongs: pass `api_key=` and `headers=`.
"""

from hfgen.fetch._aiohttp import from_aiohttp
from hfgen.fetch._asgi import from_asgi
from hfgen.fetch._httpx import from_httpx
from hfgen.fetch._requests import from_requests

__all__ = ["from_aiohttp", "from_asgi", "from_httpx", "from_requests"]
