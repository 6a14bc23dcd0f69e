"""Reads rows from files, and writes results so that a killed process loses no finished row."""
