"""The command `hfgen`."""

from hfgen._cli.main import main

__all__ = ["main"]
