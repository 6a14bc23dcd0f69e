"""The decisions of `generate_many`: which request is sent when, and what its outcome means.

Begin with `dispatcher`. The I/O is in its shells, `_sync/bulk.py` (threads) and `_async/bulk.py`
(tasks).
"""
