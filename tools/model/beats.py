"""What a plot is, and the beats that every plot may borrow.

A *beat* is a step of a story, told by one of several sentences. Their slots are filled by the
teller; see ``telling.py`` for the list of them. ``a(n)`` becomes the right article.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias


class Friend(Enum):
    """How a plot wants its second character."""

    ABSENT = auto()  # the hero is alone, or with family
    NEW = auto()  # comes in at a Meeting, never seen before
    MET = auto()  # comes in at a Meeting, as a friend or as a stranger
    KNOWN = auto()  # was there from the first lines


@dataclass(frozen=True, slots=True)
class Meeting:
    """The beat in which the second character comes in.

    It has sentences for a friend whom the opening has presented and for a stranger, so that no
    character is introduced twice.
    """

    stranger: tuple[str, ...]
    known: tuple[str, ...] = ()


Beat: TypeAlias = tuple[str, ...] | Meeting


@dataclass(frozen=True, slots=True)
class Plot:
    """A story without its particulars.

    Attributes:
        name: A handle for tests and reports.
        friend: How the second character takes part.
        lesson: Completes "{H} learned ...".
        beats: The steps in their order.
        variants: Sets of further slots, of which a story takes one.
    """

    name: str
    friend: Friend
    lesson: str
    beats: tuple[Beat, ...]
    variants: tuple[dict[str, str], ...] = field(default=({},))


MEET = Meeting(
    known=(
        "{next}, {F} came along.",
        "{next}, {F} the {fkind} came to play.",
        "{F} was near and saw {H}.",
        "{next}, {H} saw {F}.",
    ),
    stranger=(
        "{next}, a(n) {ftrait} {fkind} named {F} came along.",
        "{next}, {H} met a(n) {ftrait} {fkind} named {F}.",
        "A(n) {fkind} named {F} was near and saw {H}.",
        "{next}, a(n) {fkind} called {F} walked by.",
    ),
)
ASK_WHY = (
    '"What is wrong, {H}?" {F_asks}.',
    '"What happened?" {F_asks}.',
    '"Why do you look {sad}?" {F_asks}.',
    '"Can I help?" {F_asks}.',
)
DISMAY = (
    "{H} was {sad}.",
    '"Oh no!" {H_cries}.',
    "{H} felt like crying.",
    "A tear ran down {his} face.",
)
THANKS = (
    '"Thank you, {F}!" {H_cries}.',
    '"You are a true friend," {H_says}.',
    '"I could not do it without you," {H_says}.',
    "{H} gave {F} a big hug.",
)
JOY = (
    "{H} was {glad}.",
    "{H} felt {glad}.",
    "{H} smiled a big smile.",
    "{H} danced with joy.",
    "{H} laughed.",
)
