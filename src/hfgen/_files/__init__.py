"""Rows from files, and results into files that survive whatever ends the process."""
