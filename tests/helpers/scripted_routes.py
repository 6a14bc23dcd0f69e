"""Scripted servers that answer by the route of a request."""

from hfgen.testing import as_json


def answer_by_route(**routes):
    """Return a script with an answer for each route, named as in `v1_models`; others are 404."""

    def answer(request):
        name = request.path.partition("?")[0].replace("/", "_").strip("_") or "root"
        reply = routes.get(name)
        if reply is None:
            return as_json({"detail": "Not Found"}, status=404)
        return as_json(reply) if isinstance(reply, dict) else reply

    return answer


def request_lines(server):
    """Return the method and the path of each request that the server has got."""
    return [f"{request.method} {request.path}" for request in server.requests]
