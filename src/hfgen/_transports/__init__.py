"""The edge: the callables that make an HTTP request when the caller brings no `fetch`."""

# Of the timeout, at most so many seconds go to connecting: a host that is there answers sooner.
CONNECT_TIMEOUT = 10.0
