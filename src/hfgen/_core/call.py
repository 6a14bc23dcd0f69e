"""One call: from a request and options to a value, or to a stream that has been opened.

1. `routing` finds the targets of the request. If a server must be asked for them, the call yields
   `Ask`: the driver asks once for all callers, and remembers the answer.
2. The dialect of the target writes the body of the HTTP request.
3. `conversation.converse` sends it, follows redirects, and tries again as `Retry` says.
4. The verb (`verbs`) turns an answer with a good status into a value or a stream.
5. When a stream breaks, `resume` makes a second conversation for the rest.

A call is one generator without I/O. `_sync.driver` and `_async.driver` carry out what it yields.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from hfgen._core import discovery, routing
from hfgen._core.conversation import Opened, converse
from hfgen._core.dialects.tgi import TGI
from hfgen._core.errors import HfgenError, StatusError, hide_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hfgen._core.context import CallContext
    from hfgen._core.conversation import Conversation
    from hfgen._core.target import Target
    from hfgen._core.verbs import Verb

T = TypeVar("T")
U = TypeVar("U")

# The statuses after which another kind of server may stand at the URL than the one remembered.
_NO_SUCH_ROUTE = frozenset({404, 405})


class Call(msgspec.Struct, Generic[T], frozen=True):
    """A request, and the verb that reads its answer.

    Attributes:
        request: The normalised request.
        verb: Turns the answer into the result of the call.
        is_counted: Whether to ask the server for the finish reason and the number of tokens,
            where it gives them on request only.
    """

    request: Mapping[str, Any]
    verb: Verb[T]
    is_counted: bool = False

    def converse(self, context: CallContext, after: HfgenError | None = None) -> Conversation[T]:
        """Ask for the answer, and return what the verb makes of it.

        Args:
            context: The options of the call, and what else it depends on.
            after: A failure that came before, and counts as an attempt.

        Raises:
            InvalidRequestError: The request cannot be sent as the options say.
            HfgenError: The error of the last attempt.
        """
        plan = routing.plan_route(
            self.request, context.settings, context.environment, is_counted=self.is_counted
        )
        targets = context.targets.get(plan.key) or plan.targets
        if not targets:
            # What TGI's dialect cannot express, no dialect can. Fail before a server is asked.
            TGI(self.request).encode_body(stream=self.verb.streams)
            targets = yield from routing.find_targets(plan, context)
        try:
            target, result = yield from discovery.try_targets(
                targets, partial(self._converse_at, context, after)
            )
        except StatusError as error:
            if error.status in _NO_SUCH_ROUTE:
                context.targets.pop(plan.key, None)
            raise
        if len(targets) > 1:
            context.targets[plan.key] = (target,)
        return result

    def resume(
        self: Call[Opened[U]], context: CallContext, error: HfgenError
    ) -> Conversation[Opened[U] | None]:
        """Ask for the rest of a stream that broke; return None if the error is to be raised.

        Args:
            context: The options of the call, and what else it depends on.
            error: What the stream would raise. Its `text` is set to all that has come.

        Raises:
            HfgenError: The rest was asked for, and the last attempt failed.
        """
        hide_secrets(error, context.find_secrets())
        resumption = self.verb.resumption
        rest = resumption.prepare_rest(error) if resumption is not None else None
        if resumption is None or rest is None:
            return None
        request, failure = rest
        try:
            return (yield from replace(self, request=request).converse(context, failure))
        except HfgenError as last:
            if last is failure:
                # `Retry` allows no attempt.
                return None
            last.text = resumption.text
            raise

    def _converse_at(
        self, context: CallContext, after: HfgenError | None, target: Target
    ) -> Conversation[T]:
        streams = self.verb.streams
        dialect = target.dialect_for(self.request, is_counted=self.is_counted)
        request = context.make_post_request(
            target.url_for(stream=streams), dialect.encode_body(stream=streams), stream=streams
        )
        accept = partial(self.verb.accept, dialect)
        return converse(request, context.settings.retry, accept, context.clock, after=after)
