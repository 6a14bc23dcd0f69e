"""`generate_many`: many requests at once, and their results. Decisions only; the I/O is in shells.

`dispatcher` is where to begin. The shells are `_sync/bulk.py` (threads) and `_async/bulk.py`
(tasks).
"""
