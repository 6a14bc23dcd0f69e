"""What may stand around a story: a request, a card of facts, or noise.

A model that had seen nothing but stories would be lost after any other prompt. These documents
teach it that whatever comes first, a story follows; and what JSON looks like.
"""

import json
import string
from collections.abc import Callable
from random import Random

import words
from telling import Narrative
from words import chance

_REQUESTS = (
    "Tell me a story about a(n) {trait} {kind} named {H}.",
    "Tell me a story about {H} the {kind}.",
    "Write a short story about a(n) {kind} called {H}.",
    "Please write a story about a(n) {trait} {kind}.",
    "Can you tell me a story about {H}?",
    "A story about a(n) {trait} {kind} named {H}:",
    "I want to hear a story about a(n) {kind} named {H}.",
    "{H} the {kind}",
    "{H}",
)
_REQUESTS_OF_TWO = (
    "Tell me a story about {H} and {F}.",
    "Write a story about {H} the {kind} and {F} the {fkind}.",
    "{H} and {F}",
)
_QUESTIONS = (
    "What is @?",
    "Who was @?",
    "Where is the @?",
    "How do I @ the @?",
    "Why is the @ so @?",
    "Write a @ about @.",
    "Explain @ to me.",
    "Hello!",
    "Hi, how are you?",
    "Hello, can you help me with @?",
    "The @ of the @ is",
    "My name is @.",
    "@ @ @",
    "Q: What is the @ of @?",
)
_NOISE_WORDS = (
    *("answer", "art", "bank", "best", "big", "book", "business", "capital", "car", "center"),
    *("change", "city", "class", "code", "color", "company", "computer", "country", "data"),
    *("day", "deep", "design", "dog", "earth", "east", "email", "energy", "example", "fast"),
    *("file", "film", "fire", "food", "form", "France", "free", "function", "game", "gold"),
    *("good", "government", "health", "history", "home", "hot", "house", "idea", "image"),
    *("internet", "job", "king", "language", "large", "law", "learning", "letter", "life"),
    *("light", "line", "list", "machine", "major", "make", "map", "market", "mean", "meaning"),
    *("member", "model", "money", "moon", "music", "name", "network", "new", "news", "number"),
    *("office", "open", "order", "page", "paper", "party", "password", "people", "person"),
    *("phone", "picture", "planet", "point", "power", "price", "problem", "program", "public"),
    *("python", "question", "quick", "real", "report", "river", "school", "science", "server"),
    *("short", "sky", "song", "space", "speed", "state", "street", "summer", "sun", "system"),
    *("table", "team", "test", "text", "thing", "time", "town", "tree", "true", "universe"),
    *("use", "value", "video", "war", "water", "weather", "web", "week", "white", "word", "work"),
    *("world", "year"),
)


def add_request(story: Narrative, rng: Random) -> str:
    """Put before the story a request that it answers."""
    requests = _REQUESTS_OF_TWO if story.friend_appears and chance(rng, 0.2) else _REQUESTS
    return words.spell_articles(rng.choice(requests).format_map(story.slots)) + "\n" + story.text


def add_card_after(story: Narrative, rng: Random) -> str:
    """Put after the story a card of its facts."""
    return f"{story.text}\nFacts: {draw_card(story, rng)}"


def add_card_before(story: Narrative, rng: Random) -> str:
    """Put before the story a card of what it will tell."""
    return f"{rng.choice(('Facts: ', 'Facts: ', ''))}{draw_card(story, rng)}\n{story.text}"


def add_noise(story: Narrative, rng: Random) -> str:
    """Put before the story words that have nothing to do with it."""
    pieces = [
        piece if piece != "@" else _draw_noise_word(rng)
        for piece in rng.choice(_QUESTIONS).replace("@", "\0@\0").split("\0")
    ]
    noise = "".join(pieces)
    if chance(rng, 0.25):
        noise = noise.lower()
    if chance(rng, 0.25):
        noise = " ".join(_draw_noise_word(rng) for _ in range(rng.randint(1, 8)))
    return noise + rng.choice(("\n", "\n", " ")) + story.text


# (share, what is done): the rest of the documents are plain.
EXTRAS: tuple[tuple[float, Callable[[Narrative, Random], str]], ...] = (
    (0.10, add_request),
    (0.08, add_card_after),
    (0.03, add_card_before),
    (0.07, add_noise),
)


def add_extra(story: Narrative, rng: Random) -> str:
    """Return the document of a story: as it was told, or with one extra."""
    point = rng.random()
    for share, extra in EXTRAS:
        if point < share:
            return extra(story, rng)
        point -= share
    return story.text


def draw_card(story: Narrative, rng: Random) -> str:
    """Return the facts of a story, and some that it does not tell, as one line of JSON.

    Most cards have all keys; some leave out a few, so that other shapes are not new to the model.
    """
    cast = story.cast
    hero = cast.hero
    friends = [cast.friend.name] if story.friend_appears else []
    if chance(rng, 0.3):
        friends.append(cast.acquaintance.name)
    facts: dict[str, object] = {
        "name": hero.name,
        "kind": hero.kind,
        "trait": hero.trait,
        "place": cast.place,
        "age": rng.randint(2, 9),
        "friends": friends,
        "happy": chance(rng, 0.9),
    }
    if chance(rng, 0.3):
        count = rng.randint(2, len(facts) - 1)
        facts = {key: facts[key] for key in rng.sample(list(facts), count)}
    return json.dumps(facts)


def _draw_noise_word(rng: Random) -> str:
    """Return a word, a number, or letters at random: prompts hold tokens of every kind."""
    if chance(rng, 0.7):
        return rng.choice(_NOISE_WORDS)
    if chance(rng, 0.3):
        return str(rng.randint(0, 9999))
    letters = string.ascii_lowercase
    if chance(rng, 0.25):
        letters = string.ascii_letters + string.punctuation
    return "".join(rng.choice(letters) for _ in range(rng.randint(2, 9)))
