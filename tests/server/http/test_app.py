import io

import pytest
from yarl import URL

REQUEST = {"inputs": "Once"}
KEY_ROUTES = ["/", "/generate", "/generate_stream", "/tokenize", "/v1/completions"]
OPEN_ROUTES = ["/", "/health", "/info", "/metrics", "/ping", "/v1/models"]
TEXT = "text/plain; charset=utf-8"


@pytest.mark.parametrize("route", KEY_ROUTES)
@pytest.mark.parametrize(
    ("headers", "body", "status", "text"),
    [
        ({}, b"{}", 415, "Expected request with `Content-Type: application/json`"),
        (
            {"content-type": "text/plain"},
            b"{}",
            415,
            "Expected request with `Content-Type: application/json`",
        ),
        (
            {"content-type": "application/json"},
            b"{",
            400,
            "Failed to parse the request body as JSON: ",
        ),
        (
            {"content-type": "application/json; charset=utf-8"},
            b"{}",
            422,
            "Failed to deserialize the JSON body into the target type: missing field `",
        ),
        (
            {"content-type": "application/ld+json"},
            b"[]",
            422,
            "Failed to deserialize the JSON body into the target type: ",
        ),
        (
            {"content-type": "application/json"},
            b" " * 2_000_001,
            413,
            "Failed to buffer the request body: length limit exceeded",
        ),
    ],
)
async def test_bodies_that_cannot_be_read(
    *, scripted_server, http, route, headers, body, status, text
):
    server, batcher = scripted_server()
    skip = () if headers else ("content-type",)
    async with http.post(
        server.url + route, data=io.BytesIO(body), headers=headers, skip_auto_headers=skip
    ) as response:
        assert response.status == status
        assert response.headers["content-type"] == TEXT
        assert (await response.text()).startswith(text)
    assert batcher.jobs == []


async def test_two_million_bytes_are_read(scripted_server, http):
    server, _ = scripted_server()
    frame = b'{"inputs": ""}'
    body = frame + b" " * (2_000_000 - len(frame))
    headers = {"content-type": "application/json"}
    async with http.post(
        f"{server.url}/tokenize", data=io.BytesIO(body), headers=headers
    ) as response:
        assert response.status == 200


async def test_an_unknown_path_is_404_and_empty(scripted_server, http):
    server, _ = scripted_server()
    async with http.get(f"{server.url}/v1/chat/completions") as response:
        assert response.status == 404
        assert await response.read() == b""


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/generate", {"POST"}),
        ("POST", "/info", {"GET", "HEAD"}),
        ("PUT", "/", {"GET", "HEAD", "POST"}),
    ],
)
async def test_a_wrong_method_is_405_and_empty(scripted_server, http, method, path, allow):
    server, _ = scripted_server()
    async with http.request(method, server.url + path) as response:
        assert response.status == 405
        assert set(response.headers["allow"].split(",")) == allow
        assert await response.read() == b""


@pytest.mark.parametrize("route", KEY_ROUTES)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Bearer secret2", "Basic secret", "secret"],
)
async def test_a_key_route_requires_the_key(scripted_server, http, route, authorization):
    server, batcher = scripted_server(api_key="secret")
    headers = {} if authorization is None else {"authorization": authorization}
    payload = {"inputs": "a", "prompt": "a"}
    async with http.post(server.url + route, json=payload, headers=headers) as response:
        assert response.status == 401
        assert await response.read() == b""
    assert batcher.jobs == []


@pytest.mark.parametrize("authorization", ["Bearer sécret", "bearer sécret"])
@pytest.mark.parametrize("route", KEY_ROUTES)
async def test_the_right_key_is_accepted(scripted_server, engine, http, route, authorization):
    server, _ = scripted_server(lambda _: engine.story("a"), api_key="sécret")
    payload = {"prompt" if route == "/v1/completions" else "inputs": "a"}
    headers = {"authorization": authorization}
    async with http.post(server.url + route, json=payload, headers=headers) as response:
        assert response.status == 200
        await response.read()


@pytest.mark.parametrize("route", OPEN_ROUTES)
async def test_open_routes_require_no_key(scripted_server, http, route):
    server, _ = scripted_server(api_key="secret")
    async with http.get(server.url + route) as response:
        assert response.status == 200


VARY = "origin, access-control-request-method, access-control-request-headers"


async def fetch_cors_headers(http, method, url, origin="https://page.example", **options):
    headers = {} if origin is None else {"origin": origin}
    async with http.request(method, url, headers=headers, **options) as response:
        await response.read()
        assert response.headers.getall("vary") == [VARY]
        return response.status, response.headers.get("access-control-allow-origin")


@pytest.mark.parametrize("path", [*KEY_ROUTES, *OPEN_ROUTES, "/nowhere", "/a/b%0Ac"])
async def test_a_preflight_request_is_answered(scripted_server, http, path):
    server, batcher = scripted_server(api_key="secret")
    payload = {"origin": "https://page.example", "access-control-request-method": "POST"}
    async with http.options(URL(server.url + path, encoded=True), headers=payload) as response:
        assert response.status == 200
        assert await response.read() == b""
        assert response.headers["access-control-allow-origin"] == "*"
        assert response.headers["access-control-allow-methods"] == "GET,POST"
        assert response.headers["access-control-allow-headers"] == "content-type"
        assert response.headers.getall("vary") == [VARY]
    assert batcher.jobs == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/info", None, 200),
        ("GET", "/nowhere", None, 404),
        ("PUT", "/info", None, 405),
        ("POST", "/generate", {"inputs": "a"}, 200),
        ("POST", "/generate", {"inputs": ""}, 422),
        ("POST", "/generate", {}, 422),
        ("POST", "/generate", None, 415),
        ("POST", "/generate_stream", {"inputs": "a"}, 200),
        ("POST", "/v1/completions", {"prompt": "a", "stream": True}, 200),
    ],
)
@pytest.mark.parametrize("origin", ["https://page.example", None])
async def test_any_page_may_read_every_answer(
    *, scripted_server, engine, http, method, path, body, status, origin
):
    server, _ = scripted_server(lambda _: engine.story("a"))
    received = await fetch_cors_headers(http, method, server.url + path, origin, json=body)
    assert received == (status, "*")


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [
        (["https://page.example", "http://localhost:3000"], "https://page.example"),
        (["http://page.example"], None),
        ((), None),
    ],
)
async def test_the_origins_that_are_listed_may_read(
    scripted_server, engine, http, origins, allowed
):
    server, _ = scripted_server(lambda _: engine.story("a"), cors_allow_origin=origins)
    for method, path, body in (
        ("OPTIONS", "/generate", None),
        ("GET", "/info", None),
        ("POST", "/generate_stream", {"inputs": "a"}),
    ):
        assert await fetch_cors_headers(http, method, server.url + path, json=body) == (
            200,
            allowed,
        )
        assert await fetch_cors_headers(http, method, server.url + path, None, json=body) == (
            200,
            None,
        )
