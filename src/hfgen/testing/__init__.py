"""A scripted server, for tests of programs that talk to a text generation server.

`ScriptedServer` listens on a real socket and answers what its script says: tokens, errors, delays,
stalls, and connections that break at any place. It records the requests, and whether and when a
client hung up. Under pytest, the fixture `scripted_server` starts and closes it; nothing else here
needs pytest.
"""

from hfgen.testing._answers import (
    Cut,
    Framing,
    Hang,
    Pause,
    ScriptedAnswer,
    Step,
    answer,
    as_json,
    events,
    generated,
    loading,
    overloaded,
    status,
    tokens,
)
from hfgen.testing._discovery import Speaks
from hfgen.testing._events import ServerKind, Special, chunk, comment, done, event, fault
from hfgen.testing._record import Scripted
from hfgen.testing._request import RecordedRequest
from hfgen.testing._server import ScriptedServer, StartServer

__all__ = [
    "Cut",
    "Framing",
    "Hang",
    "Pause",
    "RecordedRequest",
    "Scripted",
    "ScriptedAnswer",
    "ScriptedServer",
    "ServerKind",
    "Speaks",
    "Special",
    "StartServer",
    "Step",
    "answer",
    "as_json",
    "chunk",
    "comment",
    "done",
    "event",
    "events",
    "fault",
    "generated",
    "loading",
    "overloaded",
    "status",
    "tokens",
]
