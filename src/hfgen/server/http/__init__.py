"""The HTTP side of the local server: routes, requests, answers and errors."""
