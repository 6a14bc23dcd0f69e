"""A scripted server, for tests of whatever talks to a text generation server.

`ScriptedServer` answers on a real socket what a script says: tokens, errors, delays, stalls, cuts
at any place. It records what it was asked, and whether and when its client hung up. Under pytest
the fixture `scripted_server` starts and closes it; pytest itself is not needed for anything else.
"""

from hfgen.testing._answer import Cut, Framing, Hang, Pause, ScriptedAnswer, Step
from hfgen.testing._discovery import Speaks
from hfgen.testing._events import ServerKind, Special, chunk, comment, done, event, fault
from hfgen.testing._ready_answers import (
    answer,
    as_json,
    events,
    generated,
    loading,
    overloaded,
    status,
    tokens,
)
from hfgen.testing._request import RecordedRequest
from hfgen.testing._script import Scripted
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
