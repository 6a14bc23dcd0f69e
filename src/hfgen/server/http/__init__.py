"""The HTTP of the local server: routes, requests, answers, errors."""
