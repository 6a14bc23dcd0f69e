"""Generation on the local server: `Batcher` runs jobs on an `Engine` and emits their tokens."""
