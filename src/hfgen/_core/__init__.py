"""What hfgen decides: pure functions and values. Nothing in here does I/O or reads a clock.

- `call`: one call from options to a result, as one generator; `conversation`: its steps.
- `verbs`: what each verb makes of an answer; `body`, `sse`: from bytes to events to items.
- `dialects`: how each family of servers expects requests, and how it answers.
- `routing`, `discovery`, `providers`, `target`: where a request goes.
- `errors`, `server_errors`, `statuses`: the tree of errors, and how servers report them.
- `retry`, `resume`: when to try again, and how a stream goes on after a break.
"""
