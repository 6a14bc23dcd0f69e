"""Telling a story: a cast and a plot in, sentences out.

Slots of a template:

* ``{H}`` and ``{F}``, the names of hero and friend; ``{he} {him} {his} {He} {His}`` and
  ``{kind} {trait}`` of the hero; the same with an f in front of the friend's;
* ``{H_says} {H_asks} {H_cries}`` and so for F: a tag after direct speech; A is the relative and X
  the helper;
* ``{place} {spot1} {spot2} {spot3} {toy} {treasure} {color} {food} {home} {hobby}
  {other_hobby} {relative} {helper}``, the same all through a story;
* ``{when} {next} {glad} {sad}``, drawn anew each time;
* whatever the plot's variant adds.
"""

from dataclasses import dataclass
from random import Random

import words
from beats import Beat, Friend, Meeting, Plot
from cast import Cast, Character
from words import chance

_ONCE_UPON_A_TIME = (
    "Once upon a time, there was a(n) {trait} {kind} named {H}.",
    "Once upon a time, there was a(n) {trait} {kind} called {H}.",
    "Once upon a time, a(n) {trait} {kind} named {H} lived {place}.",
    "Once upon a time, there lived a(n) {kind} named {H}.",
)
_ONE_DAY = (
    "One day, a(n) {trait} {kind} named {H} went out to play.",
    "One day, a(n) {trait} {kind} named {H} was {place}.",
    "One morning, a(n) {kind} named {H} woke up early.",
)
_OTHER_OPENINGS = (
    "There once was a(n) {trait} {kind} named {H}.",
    "Long ago, there lived a(n) {trait} {kind} called {H}.",
    "{H} was a(n) {trait} {kind}.",
    "{H} the {kind} lived {place}.",
    "There was a(n) {trait} {kind} whose name was {H}.",
)
_HOMES = (
    "{He} lived in {home}.",
    "{His} home was {home}.",
    "{He} lived with {his} {relative} in {home}.",
)
_PLEASURES = (
    "{H} loved {hobby}.",
    "{He} liked {hobby} and {other_hobby}.",
    "{H} liked to eat {food}.",
)
_PARTNER = (
    "{His} best friend was a(n) {ftrait} {fkind} named {F}.",
    "{H} had a friend, a(n) {fkind} named {F}.",
    "{His} friend {F} was a(n) {ftrait} {fkind}.",
)
_ENDINGS = (
    "From that day on, {H} was a little wiser.",
    "That night, {H} slept well.",
    "{H} never forgot that day.",
    "{H} went home with a smile.",
    "And {H} lived happily ever after.",
    "What a good day it was!",
)
_ENDINGS_OF_TWO = (
    "From that day on, {H} and {F} did everything together.",
    "{H} and {F} played until the sun went down.",
    "And they lived happily ever after.",
    "After that, {H} and {F} played together every day.",
    "Then {H} and {F} ate {food} and were {glad}.",
)
_LESSONS = (
    "{H} learned {lesson}.",
    "That day, {H} learned {lesson}.",
    "So {H} learned {lesson}.",
)
# The sentences above that name somebody, apart from the very first.
ANY_PLOT = (*_PLEASURES, *_PARTNER, *_ENDINGS, *_ENDINGS_OF_TWO, *_LESSONS)
# How often the opening presents the second character.
_INTRODUCED = {Friend.ABSENT: 0.0, Friend.NEW: 0.0, Friend.MET: 0.3, Friend.KNOWN: 1.0}
TAGS = {
    "says": ("said @", "said @", "@ said", "@ said", "said @ softly"),
    "asks": ("asked @", "asked @", "@ asked"),
    "cries": ("cried @", "shouted @", "called @", "said @"),
}


class Slots(dict[str, str]):
    """What stands in the braces: most of it fixed for a story, the rest drawn when asked for."""

    def __init__(self, cast: Cast, rng: Random, *, day_is_set: bool) -> None:
        super().__init__(
            H=cast.hero.name,
            F=cast.friend.name,
            place=f"{cast.preposition} {cast.place}",
            toy=cast.toy,
            treasure=cast.treasure,
            color=cast.color,
            food=cast.food,
            relative=cast.relative,
            helper=cast.helper,
            home=cast.home,
            hobby=cast.hobbies[0],
            other_hobby=cast.hobbies[1],
        )
        self.update(zip(("spot1", "spot2", "spot3"), cast.spots, strict=True))
        self.update(_describe(cast.hero, ""))
        self.update(_describe(cast.friend, "f"))
        self._rng = rng
        self._speakers = {
            "H": cast.hero.name,
            "F": cast.friend.name,
            "A": f"{cast.hero.possessive} {cast.relative}",
            "X": f"the {cast.helper}",
        }
        self._fresh = {
            "when": words.LATER if day_is_set else words.WHEN,
            "next": words.NEXT,
            "glad": words.GLAD,
            "sad": words.SAD,
        }

    def __missing__(self, slot: str) -> str:
        if slot in self._fresh:
            return self._rng.choice(self._fresh[slot])
        speaker, _, verb = slot.partition("_")
        return self._rng.choice(TAGS[verb]).replace("@", self._speakers[speaker])


@dataclass(frozen=True, slots=True)
class Narrative:
    """A told story, with what it was made from.

    ``friend_appears`` is false where the hero was alone: the friend of the cast is then in no line.
    """

    text: str
    cast: Cast
    plot: Plot
    slots: Slots
    friend_appears: bool


class Teller:
    """Tells one story: picks sentences, fills them, and knows whether the friend is known yet."""

    def __init__(self, cast: Cast, plot: Plot, rng: Random) -> None:
        self._cast = cast
        self._plot = plot
        self._rng = rng
        self._sentences: list[str] = []
        self._friend_known = False
        openings = (_ONCE_UPON_A_TIME, _ONE_DAY, _OTHER_OPENINGS)
        (self._first,) = rng.choices(openings, weights=(50, 18, 32))
        self._slots = Slots(cast, rng, day_is_set=self._first is _ONE_DAY)
        for slot, value in rng.choice(plot.variants).items():
            self._slots[slot] = value.format_map(self._slots)
        self._slots["lesson"] = plot.lesson

    def tell(self) -> Narrative:
        """Tell the story: paragraphs, each on a line of its own."""
        self._open()
        for beat in self._plot.beats:
            self._tell_beat(beat)
        self._close()
        return Narrative(
            text=self._paragraphs(),
            cast=self._cast,
            plot=self._plot,
            slots=self._slots,
            friend_appears=self._friend_known,
        )

    def _say(self, sentences: tuple[str, ...]) -> None:
        sentence = self._rng.choice(sentences).format_map(self._slots)
        self._sentences.append(words.spell_articles(_capitalize(sentence)))

    def _tell_beat(self, beat: Beat) -> None:
        if isinstance(beat, Meeting):
            self._say(beat.known if self._friend_known else beat.stranger)
            self._friend_known = True
        else:
            self._say(beat)

    def _open(self) -> None:
        rng = self._rng
        self._say(self._first)
        if self._first is not _ONE_DAY:
            if chance(rng, 0.45):
                self._say(_HOMES)
            if chance(rng, 0.6):
                self._say(_PLEASURES)
        if chance(rng, _INTRODUCED[self._plot.friend]):
            self._say(_PARTNER)
            self._friend_known = True
        if chance(rng, 0.25):
            self._say(words.WEATHER)

    def _close(self) -> None:
        rng = self._rng
        if chance(rng, 0.5):
            self._say(_LESSONS)
        self._say(_ENDINGS_OF_TWO if self._friend_known and chance(rng, 0.7) else _ENDINGS)
        if chance(rng, 0.2):
            self._say(("The end.",))

    def _paragraphs(self) -> str:
        # The breaks are drawn, not told by the plot: a model this small need not learn their sense.
        parts = [self._sentences[0]]
        since = 1
        for sentence in self._sentences[1:]:
            new = since >= 4 and chance(self._rng, 0.4)  # noqa: PLR2004
            parts.append(("\n" if new else " ") + sentence)
            since = 1 if new else since + 1
        return "".join(parts)


def _describe(character: Character, prefix: str) -> dict[str, str]:
    """Return a character's slots, with ``prefix`` before their names."""
    slots = {
        "he": character.subject,
        "him": character.object,
        "his": character.possessive,
        "He": character.subject.capitalize(),
        "His": character.possessive.capitalize(),
        "kind": character.kind,
        "trait": character.trait,
    }
    return {prefix + slot: value for slot, value in slots.items()}


def _capitalize(sentence: str) -> str:
    """Raise the first letter only; ``str.capitalize`` would lower the names."""
    return sentence[0].upper() + sentence[1:]
