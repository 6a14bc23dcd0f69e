import pytest

from hfgen import _version
from hfgen.server.engine.jobs import Failed


async def test_info(scripted_server, http):
    server, _ = scripted_server(max_positions=512)
    async with http.get(f"{server.url}/info") as response:
        answer = await response.json()
    assert list(answer.items()) == [
        ("model_id", "scripted"),
        ("model_sha", None),
        ("model_pipeline_tag", "text-generation"),
        ("max_concurrent_requests", 128),
        ("max_best_of", 2),
        ("max_stop_sequences", 4),
        ("max_input_tokens", 511),
        ("max_total_tokens", 512),
        ("validation_workers", 2),
        ("max_client_batch_size", 4),
        ("router", "hfgen"),
        ("version", _version.__version__),
        ("sha", None),
        ("docker_label", None),
    ]


async def test_models(scripted_server, http):
    server, _ = scripted_server()
    async with http.get(f"{server.url}/v1/models") as response:
        assert await response.json() == {
            "object": "list",
            "data": [{"id": "scripted", "object": "model", "created": 0, "owned_by": "scripted"}],
        }


@pytest.mark.parametrize("path", ["/", "/health", "/ping"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_health_is_empty(scripted_server, http, path, method):
    server, batcher = scripted_server()
    async with http.request(method, server.url + path) as response:
        assert response.status == 200
        assert await response.read() == b""
    assert batcher.jobs == []


async def test_after_a_failure_health_is_probed(scripted_server, engine, http):
    server, batcher = scripted_server(lambda _: [Failed("out of luck")])
    async with http.post(f"{server.url}/generate", json={"inputs": "a"}) as response:
        assert response.status == 424
    async with http.get(f"{server.url}/health") as response:
        assert response.status == 503
        assert await response.json() == {"error": "unhealthy", "error_type": "healthcheck"}
    batcher.script = lambda _: engine.story("a")
    for _ in range(2):
        async with http.get(f"{server.url}/health") as response:
            assert response.status == 200
    # One generation, the probe that failed and the one that did not; then none is needed.
    assert len(batcher.jobs) == 3
    assert batcher.jobs[-1].job.max_new_tokens == 1


async def test_metrics(scripted_server, engine, http):
    server, _ = scripted_server(lambda _: engine.story("a", "b"))
    payload = {"inputs": "Once", "parameters": {"max_new_tokens": 5}}
    for body in (payload, {"inputs": ""}):
        async with http.post(f"{server.url}/generate", json=body) as response:
            await response.read()
    async with http.get(f"{server.url}/metrics") as response:
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        lines = (await response.text()).splitlines()
    for line in (
        "# TYPE tgi_request_count counter",
        "tgi_request_count 2.0",
        "tgi_request_success 1.0",
        'tgi_request_failure{err="validation"} 1.0',
        "tgi_request_input_length_sum 4.0",
        "tgi_request_max_new_tokens_sum 5.0",
        "tgi_request_generated_tokens_sum 2.0",
        "tgi_request_duration_count 1.0",
        "tgi_request_validation_duration_count 1.0",
        "tgi_request_queue_duration_count 1.0",
        "tgi_request_inference_duration_count 1.0",
        "tgi_request_mean_time_per_token_duration_count 1.0",
        "tgi_queue_size 0.0",
        "tgi_batch_current_size 0.0",
    ):
        assert line in lines
    assert len([line for line in lines if line.startswith("tgi_request_duration_bucket{")]) == 36
    assert not [line for line in lines if "_created" in line or "_total " in line]
