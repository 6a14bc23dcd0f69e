"""The sync side: what `_core` decides is done with threads, sockets and urllib3."""
