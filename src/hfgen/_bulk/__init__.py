"""Many requests, and all of their answers: the engine of `generate_many`."""
