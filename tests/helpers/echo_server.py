"""A script for servers that answers each prompt in capitals, after some seconds."""

import threading
from collections import Counter

from hfgen.testing import Pause, generated, status, tokens


class Echo:
    """Answers, and counts the requests.

    Attributes:
        prompt_counts: How often each prompt came.
        most_open: The highest number of requests that were open at once.
    """

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.prompt_counts = Counter()
        self.most_open = 0
        self._open = []
        self._lock = threading.Lock()

    def __call__(self, request):
        prompt = request.json["inputs"]
        with self._lock:
            self.prompt_counts[prompt] += 1
            # The answer is sent after this call returns, so a request is open until it is answered.
            self._open = [r for r in self._open if not (r.answered.is_set() or r.hung_up.is_set())]
            self._open.append(request)
            self.most_open = max(self.most_open, len(self._open))
        if prompt.startswith("bad"):
            return status(422, '{"error": "too long", "error_type": "validation"}')
        if request.json.get("stream"):
            return tokens(Pause(self.seconds), prompt.upper(), details=True)
        return generated(prompt.upper()).after(self.seconds)
