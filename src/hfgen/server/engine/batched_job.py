"""A job in the batch: it reads its prompt in chunks, chooses its tokens, and knows when it ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hfgen.server.engine.detokenizer import Detokenizer
from hfgen.server.engine.jobs import Generated, PrefillToken, Started, Token
from hfgen.server.engine.sampling import Chooser, log_softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hfgen.server.engine.checkpoint import Model
    from hfgen.server.engine.detokenizer import Vocabulary
    from hfgen.server.engine.interface import Logits, SequenceId
    from hfgen.server.engine.jobs import FinishReason, Job, SubmittedJob


class StoppingCriteria:
    """Decides when a job ends, as TGI's StoppingCriteria does and in its order (utils/tokens.py).

    Unlike in TGI, a stop string also counts where it ends inside a token; the text behind it is
    cut. So the text is the same however it is divided into tokens.

    Args:
        job: The limits and stop strings to apply.
        eos_ids: The tokens that end a generation.
        max_positions: The context of the model in tokens; when it is full, the reason is "length".
    """

    def __init__(self, job: Job, eos_ids: frozenset[int], max_positions: int) -> None:
        self._eos_ids = eos_ids
        self._remaining = min(job.max_new_tokens, max(1, max_positions - len(job.input_ids)))
        self._stop = job.stop
        # The longest beginning of a stop string that the next token can complete.
        self._tail_length = max(map(len, job.stop), default=1) - 1
        self._tail = ""

    def check(self, token_id: int, text: str) -> tuple[FinishReason | None, str]:
        """Count a generated token.

        Returns:
            The reason why the job ends with this token, None if it goes on; and the text of the
            token, up to the end of a stop string.
        """
        self._remaining -= 1
        is_stopped = False
        if self._stop and text:
            is_stopped, text = self._cut(text)
        if self._remaining <= 0:
            return "length", text
        if token_id in self._eos_ids:
            return "eos_token", text
        return "stop_sequence" if is_stopped else None, text

    def _cut(self, text: str) -> tuple[bool, str]:
        """Cut a token's text behind the first stop string that ends in it."""
        tail, known = self._tail + text, len(self._tail)
        ends = [found + len(stop) for stop in self._stop if (found := tail.find(stop)) >= 0]
        if ends:
            return True, tail[known : min(ends)]
        self._tail = tail[len(tail) - min(self._tail_length, len(tail)) :]
        return False, text


class BatchedJob:
    """A job in the batch, with its sequence in the engine.

    Attributes:
        submitted: The job, and where its events go.
        sequence: The engine's sequence, which the batcher closes.
        token_id: The last token, which the engine has not seen yet.
        ended: Whether the job has its last token, or has failed.

    Raises:
        ValueError: The prompt is empty or longer than the model's context.
    """

    __slots__ = (
        "_chooser",
        "_detokenizer",
        "_engine",
        "_last_logprobs",
        "_prefill",
        "_read",
        "_started_at",
        "_stopping",
        "_vocabulary",
        "ended",
        "sequence",
        "submitted",
        "token_id",
    )

    def __init__(self, submitted: SubmittedJob, model: Model, vocabulary: Vocabulary) -> None:
        job, engine = submitted.job, model.engine
        if not 0 < len(job.input_ids) <= engine.max_positions:
            raise ValueError(
                f"a prompt of {len(job.input_ids)} tokens; the model reads 1 to "
                f"{engine.max_positions}"
            )
        self.submitted = submitted
        self.token_id = job.input_ids[-1]
        self.ended = False
        self._engine = engine
        self._vocabulary = vocabulary
        self._chooser = Chooser(
            job.sampling, job.input_ids, engine.vocab_size, top_n_tokens=job.top_n_tokens
        )
        self._detokenizer = Detokenizer(vocabulary, job.input_ids)
        self._stopping = StoppingCriteria(job, model.eos_ids, engine.max_positions)
        self._started_at = 0.0
        self._read = 0
        self._prefill: list[PrefillToken] = []
        self._last_logprobs: Logits | None = None
        self.sequence: SequenceId = engine.open()

    @property
    def has_unread_prompt(self) -> bool:
        """Whether some of the prompt is left to read."""
        return self._read < len(self.submitted.job.input_ids)

    def read_prompt(self, chunk: int) -> int:
        """Read the next chunk of the prompt, and choose the first token after the last chunk.

        Chunks have the same borders whatever the other jobs are: a border changes the last bits
        of the logits, and a job must get the tokens that it would get alone.

        Returns:
            How many tokens were read.
        """
        job = self.submitted.job
        if not self._read:
            self._started_at = time.perf_counter()
        ids = job.input_ids[self._read : self._read + chunk]
        logits = self._engine.extend(self.sequence, ids, every_position=job.prefill_logprobs)
        if job.prefill_logprobs:
            self._record_prompt_logprobs(ids, log_softmax(logits))
        self._read += len(ids)
        if not self.has_unread_prompt:
            self.submitted.emit(Started(self._started_at, tuple(self._prefill)))
            self.choose_token(logits[-1])
        return len(ids)

    def choose_token(self, logits: Logits) -> None:
        """Choose the next token from its logits, and emit it."""
        vocabulary = self._vocabulary
        token_id, logprob, top = self._chooser.choose(logits)
        text = self._detokenizer.push(token_id)
        finish_reason, text = self._stopping.check(token_id, text)
        self.token_id = token_id
        self.ended = finish_reason is not None
        if self.ended:
            # Bytes of an incomplete character are shown as U+FFFD, as TGI does before an end token.
            # When the length limit is reached TGI leaves them out, and its generated_text is then
            # empty (`decode_token` in models/model.py). That is not copied here.
            text = self._detokenizer.flush() + text
        token = Token(token_id, text, logprob, token_id in vocabulary.special_tokens)
        top_tokens = tuple(
            Token(i, vocabulary.decode_alone(i), logprob, i in vocabulary.special_tokens)
            for i, logprob in top
        )
        self.submitted.emit(Generated(token, top_tokens, finish_reason))

    def _record_prompt_logprobs(self, ids: Sequence[int], logprobs: Logits) -> None:
        """Record the log-probability of each prompt token, found in the row of the token before."""
        for row, token_id in enumerate(ids):
            before = logprobs[row - 1] if row else self._last_logprobs
            logprob = None if before is None else float(before[token_id])
            self._prefill.append(
                PrefillToken(token_id, self._vocabulary.decode_alone(token_id), logprob)
            )
        self._last_logprobs = logprobs[-1]
