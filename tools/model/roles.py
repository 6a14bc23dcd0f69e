"""Reading a story back: who is its hero, who is the friend, and do they stay who they are?

The sentences of the plots are turned round into patterns. A text is read by the plot of which it
holds the most sentences; in each of these the name in the hero's place must be the hero's and the
name in the friend's place the friend's. That finds names that change and roles that are swapped,
in what the grammar makes as in what the model makes of it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import telling
from beats import Meeting
from stories import PLOTS, draw_stories

_NAME = r"[A-Z][a-z]+"
_CAPITALISED = re.compile(r"\b[A-Z][a-z]+\b")
_SLOT = re.compile(r"\{(\w+)\}")
_CARD = re.compile(r"\{[^{}]*\}")
# Fewer sentences than this in common with every plot, and a text counts as no story.
_FEWEST_SENTENCES = 4

Patterns: TypeAlias = tuple[tuple[re.Pattern[str], str], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found in a text.

    Attributes:
        plot: The plot's name; empty when the text follows none.
        hero: Who the story is about.
        names: All names in the text, in the order of their first mention.
        slips: Sentences in which the wrong name stands, and names beyond two.
    """

    plot: str
    hero: str
    names: tuple[str, ...]
    slips: tuple[str, ...]

    @property
    def is_story(self) -> bool:
        return bool(self.plot)

    @property
    def keeps_names(self) -> bool:
        return self.is_story and not self.slips


def read_story(text: str) -> Reading:
    """Read a story without what may stand before it; a card of facts is left out."""
    text = " ".join(_CARD.sub(" ", text).split())
    ordinary = ordinary_words()
    names = tuple(dict.fromkeys(w for w in _CAPITALISED.findall(text) if w not in ordinary))
    hero = names[0] if names else ""
    found = {plot.name: list(_find_matches(_compile_plot(plot.name), text)) for plot in PLOTS}
    plot = max(found, key=lambda name: len({match.start() for match, _ in found[name]}))
    matches = found[plot]
    if not hero or len({match.start() for match, _ in matches}) < _FEWEST_SENTENCES:
        return Reading(plot="", hero=hero, names=names, slips=())
    friend = names[1] if len(names) > 1 else ""
    matches += _find_matches(_compile_any_plot(), text)
    slips = [f"a third name: {name}" for name in names[2:]]
    right = [
        match.span() for match, roles in matches if _has_right_names(match, roles, hero, friend)
    ]
    for match, _ in matches:
        # Patterns are loose, so the same words may be read in two ways: one that is right will do.
        begin, end = match.span()
        if not any(begin < right_end and right_begin < end for right_begin, right_end in right):
            slips.append(match[0])
    return Reading(plot=plot, hero=hero, names=names, slips=tuple(slips))


@cache
def ordinary_words() -> frozenset[str]:
    """Return the capitalised words of stories that are not names."""
    narratives = [story.narrative for story in draw_stories("ordinary words", 1500)]
    found = set()
    for story in narratives:
        names = {story.cast.hero.name, story.cast.friend.name}
        found.update(word for word in _CAPITALISED.findall(story.text) if word not in names)
    return frozenset(found | {"Facts"})


def _has_right_names(match: re.Match[str], roles: str, hero: str, friend: str) -> bool:
    """Say whether each name of ``match`` is that of its role; ``roles`` has a letter for each."""
    expected = {"H": hero, "F": friend}
    named = zip(roles, match.groups(), strict=True)
    return all(name is None or name == expected[role] for role, name in named)


def _find_matches(patterns: Patterns, text: str) -> Iterator[tuple[re.Match[str], str]]:
    for pattern, roles in patterns:
        for match in pattern.finditer(text):
            if ordinary_words().isdisjoint(match.groups()):
                yield match, roles


@cache
def _compile_any_plot() -> Patterns:
    """Return the patterns of the sentences that may stand in any story."""
    return _compile(telling.ANY_PLOT)


@cache
def _compile_plot(name: str) -> Patterns:
    """Return the patterns of the sentences of a plot."""
    plot = next(plot for plot in PLOTS if plot.name == name)
    sentences: list[str] = []
    for beat in plot.beats:
        sentences += (*beat.stranger, *beat.known) if isinstance(beat, Meeting) else beat
    return _compile(sentences)


def _compile(sentences: Iterable[str]) -> Patterns:
    """Return a pattern for each sentence, with the roles of the groups that it has for names."""
    return tuple(_compile_sentence(sentence) for sentence in dict.fromkeys(sentences))


def _compile_sentence(sentence: str) -> tuple[re.Pattern[str], str]:
    """Turn a sentence into a pattern with a group for each name, and the roles of the groups."""
    roles = ""
    pattern = ""
    literal_and_slots = _SLOT.split(sentence)
    for i, part in enumerate(literal_and_slots):
        if i % 2 == 0:
            pattern += re.escape(part).replace(r"a\(n\)", "an?").replace(r"A\(n\)", "An?")
            continue
        speaker, _, verb = part.partition("_")
        if part in ("H", "F"):
            pattern += f"({_NAME})"
            roles += part
        elif verb and speaker in ("H", "F"):
            pattern += _tag_pattern(verb)
            roles += speaker * len(telling.TAGS[verb])
        elif pattern:  # in front, something that may be anything may as well be left out
            pattern += r"[^.!?\"]+?"
    return re.compile(pattern), roles


def _tag_pattern(verb: str) -> str:
    """Return the alternatives of a tag, the longest first, with a group in each."""
    tags = sorted(telling.TAGS[verb], key=len, reverse=True)
    return "(?:" + "|".join(tag.replace("@", f"({_NAME})") for tag in tags) + ")"
