"""Ways to cut bytes: whole, one at a time, and at random."""

import random


def cuts(data, *, ways=20):
    """Yield the bytes cut in each way, as lists of pieces."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    # Empty pieces are allowed anywhere.
    yield [b"", data, b""]
    chance = random.Random(len(data))
    for _ in range(ways):
        ends = sorted(chance.choices(range(len(data) + 1), k=chance.randint(1, 8)))
        yield [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


def same_every_way(data, function):
    """Call the function with the pieces of each cut; return its result, the same for all."""
    results = [function(pieces) for pieces in cuts(data)]
    assert all(result == results[0] for result in results)
    return results[0]
