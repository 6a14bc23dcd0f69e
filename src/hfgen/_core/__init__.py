"""What hfgen knows of the protocol. Nothing in here does I/O or reads a clock.

- `sse`: bytes to server-sent events.
- `faults`: an error as a server words it to one of hfgen's classes.
- `dialect`, `tgi`: a request to a body, an answer and an event to values.
- `decoder`: the body of an answer to the items of a stream.
- `exchange`: the conversation up to the first chunk of an answer; `accept`: each verb's part of it.
- `resume`: how a stream that broke goes on.
"""
