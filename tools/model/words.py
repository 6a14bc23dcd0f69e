"""The words that stories are made of, and the rule of spelling they need: a or an.

All lists are tuples, since their order is part of what a seed means.
"""

import re
from random import Random

GIRLS = (
    *("Alice", "Amy", "Bella", "Clara", "Daisy", "Ella", "Eva", "Grace", "Hazel", "Ida"),
    *("Ivy", "June", "Kate", "Lily", "Lucy", "Mia", "Molly", "Nora", "Olive", "Penny"),
    *("Rosa", "Ruby", "Sophie", "Stella", "Tilly", "Wendy"),
)
BOYS = (
    *("Adam", "Alex", "Ben", "Charlie", "Dan", "Eli", "Felix", "Finn", "George", "Henry"),
    *("Hugo", "Jack", "Jim", "Leo", "Max", "Ned", "Oliver", "Oscar", "Paul", "Peter"),
    *("Sam", "Theo", "Tim", "Toby", "Tom", "Walter"),
)
# Names out of parts, for a few characters: a model that had seen only the lists above would turn
# a name it does not know into one that it does, instead of copying it from the request.
NAME_STARTS = (
    *("Ba", "Be", "Bri", "Da", "Do", "Fi", "Fo", "Ga", "Jo", "Ka", "Ki", "La", "Lo", "Ma", "Mi"),
    *("Mo", "Na", "Pe", "Pi", "Qui", "Ra", "Ro", "Sha", "So", "Ta", "Ti", "Vi", "Wi", "Ya", "Zo"),
)
NAME_MIDDLES = ("", "", "ba", "da", "li", "lo", "mi", "ni", "ra", "ri", "so", "ta", "va", "zi")
GIRL_ENDINGS = ("la", "na", "nia", "lina", "ra", "ssa", "lle", "ya", "ka", "dine")
BOY_ENDINGS = ("bo", "do", "ko", "lan", "mon", "ndo", "nus", "rek", "ron", "to")

ANIMALS = (
    *("badger", "bear", "cat", "deer", "dog", "duck", "fox", "frog", "goat", "goose"),
    *("hedgehog", "kitten", "lamb", "mole", "mouse", "otter", "owl", "panda", "pig", "pony"),
    *("puppy", "rabbit", "squirrel", "turtle"),
)
# Grown animals who help and go unnamed; none is among ANIMALS, so "the horse" is always the helper.
TALL_HELPERS = ("elephant", "giraffe", "horse", "camel", "moose", "kangaroo")

TRAITS = (
    *("brave", "busy", "careful", "cheerful", "clever", "curious", "eager", "friendly", "funny"),
    *("gentle", "happy", "helpful", "kind", "little", "lively", "patient", "polite", "quiet"),
    *("shy", "small", "sweet", "young"),
)
COLORS = ("blue", "brown", "golden", "green", "orange", "pink", "purple", "red", "white", "yellow")

# With their prepositions, as they stand in a sentence; cards give the noun alone.
PLACES = (
    ("at", "the beach"),
    ("by", "the lake"),
    ("by", "the river"),
    ("by", "the sea"),
    ("in", "the forest"),
    ("in", "the garden"),
    ("in", "the meadow"),
    ("in", "the park"),
    ("in", "the valley"),
    ("in", "the village"),
    ("in", "the woods"),
    ("near", "the mill"),
    ("near", "the mountain"),
    ("on", "the farm"),
    ("on", "the hill"),
    ("on", "the island"),
)
HOUSES = (
    "a house with a blue door",
    "a little white house",
    "a small house full of books",
    "a tall old house",
    "a tiny cottage",
    "an old house with a garden",
)
DENS = (
    "a burrow under an oak tree",
    "a cozy den",
    "a hollow log",
    "a little hut made of sticks",
    "a round hole in a hill",
    "a snug nest of leaves",
)
TOYS = (
    *("ball", "bell", "boat", "book", "cap", "doll", "drum", "flute", "hat", "kite"),
    *("lantern", "puppet", "robot", "scarf", "teddy", "train", "whistle"),
)
TREASURES = (
    *("button", "coin", "feather", "key", "marble"),
    *("pearl", "ribbon", "ring", "shell", "stone"),
)
FOODS = (
    *("apples", "berries", "biscuits", "cake", "carrots", "cheese", "cherries", "honey"),
    *("nuts", "pancakes", "pears", "pie", "plums", "soup", "warm bread"),
)
SPOTS = (
    "behind a big rock",
    "behind the shed",
    "beside the path",
    "in a pile of hay",
    "in the tall grass",
    "near the old gate",
    "next to a puddle",
    "on a tree stump",
    "on the steps",
    "under a bench",
    "under a bush",
    "under the big tree",
)
HUMAN_FAMILY = ("mom", "dad", "mother", "father", "grandma", "grandpa", "aunt", "uncle")
ANIMAL_FAMILY = ("mother", "father", "grandma", "grandpa")

HOBBIES = (
    *("to sing", "to dance", "to paint", "to climb", "to swim", "to read", "to jump in puddles"),
    *("to look at the clouds", "to count the stars", "to pick flowers", "to tell jokes"),
    *("to play hide and seek", "to bake", "to build things", "to hear old stories"),
)
WEATHER = (
    "The sun was warm and bright.",
    "A cool wind blew.",
    "The sky was gray.",
    "The birds sang in the trees.",
    "The sky was clear and blue.",
    "There was snow on the ground.",
    "The grass was wet with rain.",
    "Not a cloud was in the sky.",
)
WHEN = (
    *("One day", "One day", "One morning", "One afternoon", "One sunny day", "One windy day"),
    *("One cold morning", "One spring day", "One summer day", "Early one morning"),
)
# For stories whose first sentence has set the day already.
LATER = ("That day", "A little later", "Later that day", "Soon after")
NEXT = ("Then", "Soon", "Just then", "After a while", "A moment later", "Before long")
GLAD = ("glad", "happy", "very happy", "so happy", "proud", "full of joy")
SAD = ("sad", "very sad", "upset", "worried", "so sad")


_ARTICLE = re.compile(r"\b([Aa])\(n\) (?=(\w))")


def chance(rng: Random, share: float) -> bool:
    """Say yes to ``share`` of the questions, between 0 and 1."""
    return rng.random() < share


def spell_articles(text: str) -> str:
    """Turn each ``a(n)`` of ``text`` into *a* or *an* by the letter that follows.

    The letter decides because the lists above hold no word like *hour* or *unicorn*.
    """
    return _ARTICLE.sub(lambda m: f"{m[1]}{'n' if m[2].lower() in 'aeiou' else ''} ", text)
