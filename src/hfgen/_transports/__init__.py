"""The edge: the callables that make an HTTP request when the caller brings no `fetch`."""
