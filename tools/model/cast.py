"""The characters and things of one story, drawn before it is told."""

from dataclasses import dataclass
from random import Random

import words
from words import chance


@dataclass(frozen=True, slots=True)
class Character:
    """Somebody with a name. ``kind`` is an animal, or *girl* or *boy*."""

    name: str
    kind: str
    trait: str
    female: bool

    @property
    def animal(self) -> bool:
        return self.kind in words.ANIMALS

    @property
    def subject(self) -> str:
        return "she" if self.female else "he"

    @property
    def object(self) -> str:
        return "her" if self.female else "him"

    @property
    def possessive(self) -> str:
        return "her" if self.female else "his"


@dataclass(frozen=True, slots=True)
class Cast:
    """The hero, the friend, and the things around them.

    Names are never shared, and two animals are never of one kind: "the fox" is one character.
    ``acquaintance`` is in no story, only in the cards that list friends.
    """

    hero: Character
    friend: Character
    acquaintance: Character
    relative: str
    helper: str
    preposition: str
    place: str
    toy: str
    treasure: str
    color: str
    food: str
    home: str
    hobbies: tuple[str, str]
    spots: tuple[str, str, str]


def draw_name(rng: Random, *, female: bool) -> str:
    """Draw a name: mostly a common one, sometimes an invented one."""
    if chance(rng, 0.9):
        return rng.choice(words.GIRLS if female else words.BOYS)
    endings = words.GIRL_ENDINGS if female else words.BOY_ENDINGS
    return rng.choice(words.NAME_STARTS) + rng.choice(words.NAME_MIDDLES) + rng.choice(endings)


def draw_character(rng: Random, others: tuple[Character, ...] = ()) -> Character:
    """Draw a character who shares neither name nor animal with the ``others``."""
    female = chance(rng, 0.5)
    names = {other.name for other in others}
    kinds = {other.kind for other in others}
    name = draw_name(rng, female=female)
    while name in names:
        name = draw_name(rng, female=female)
    child = "girl" if female else "boy"
    animals = [animal for animal in words.ANIMALS if animal not in kinds]
    kind = rng.choice(animals) if chance(rng, 0.55) else child
    return Character(name=name, kind=kind, trait=rng.choice(words.TRAITS), female=female)


def draw_cast(rng: Random) -> Cast:
    """Draw everything that one story is about."""
    hero = draw_character(rng)
    friend = draw_character(rng, (hero,))
    acquaintance = draw_character(rng, (hero, friend))
    preposition, place = rng.choice(words.PLACES)
    hobby, other_hobby = rng.sample(words.HOBBIES, 2)
    first, second, third = rng.sample(words.SPOTS, 3)
    return Cast(
        hero=hero,
        friend=friend,
        acquaintance=acquaintance,
        relative=rng.choice(words.ANIMAL_FAMILY if hero.animal else words.HUMAN_FAMILY),
        helper=rng.choice(words.TALL_HELPERS),
        preposition=preposition,
        place=place,
        toy=rng.choice(words.TOYS),
        treasure=rng.choice(words.TREASURES),
        color=rng.choice(words.COLORS),
        food=rng.choice(words.FOODS),
        home=rng.choice(words.DENS if hero.animal else words.HOUSES),
        hobbies=(hobby, other_hobby),
        spots=(first, second, third),
    )
