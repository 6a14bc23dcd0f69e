"""What the tests' servers answer: a prompt in capitals, after a while."""

import threading
from collections import Counter

from hfgen.testing import Pause, generated, status, tokens


class Echo:
    """Answers, and counts what is asked, and how much at once."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.asked = Counter()
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, request):
        prompt = request.json["inputs"]
        with self._lock:
            self.asked[prompt] += 1
            # The answer is sent after this: what is under way is what has not been answered.
            self._open = [r for r in getattr(self, "_open", ()) if not r.answered.is_set()]
            self._open = [r for r in self._open if not r.hung_up.is_set()] + [request]
            self.most = max(self.most, len(self._open))
        if prompt.startswith("bad"):
            return status(422, '{"error": "too long", "error_type": "validation"}')
        if request.json.get("stream"):
            return tokens(Pause(self.seconds), prompt.upper(), details=True)
        return generated(prompt.upper()).after(self.seconds)
