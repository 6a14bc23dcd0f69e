"""The dialects: how each family of servers expects requests, and how it answers."""
