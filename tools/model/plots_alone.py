"""Plots that the hero lives through alone, with family or with somebody who has no name."""

from beats import DISMAY, JOY, Friend, Plot

FIB = Plot(
    name="fib",
    friend=Friend.ABSENT,
    lesson="to tell the truth",
    variants=(
        {"thing": "vase", "culprit": "the wind"},
        {"thing": "cup", "culprit": "the cat next door"},
        {"thing": "plate", "culprit": "a big bird"},
        {"thing": "clock", "culprit": "the wind"},
        {"thing": "lamp", "culprit": "a big bird"},
    ),
    beats=(
        (
            "{when}, {H} was playing with a(n) {color} {toy} inside.",
            "{when}, {H} ran around the room with a {toy}.",
        ),
        ("Crash! The {thing} fell and broke.", "The {toy} hit the {thing}, and the {thing} broke."),
        ('"Who broke the {thing}?" {A_asks}.', "{His} {relative} came in and saw it."),
        ('"It was {culprit}," {H_says}.', '{H} looked at the floor. "It was {culprit}."'),
        (
            "But it was not true, and {H} felt bad.",
            "That night, {H} could not sleep.",
            "{H} did not want to eat or play after that.",
        ),
        (
            "At last, {H} went to {his} {relative}.",
            "The next morning, {H} ran to {his} {relative}.",
        ),
        ('"I broke the {thing}. I am sorry," {H_says}.', '"It was me. I am so sorry," {H_says}.'),
        (
            '"Thank you for telling me," {A_says}.',
            '"I am glad that you told me the truth," {A_says}.',
        ),
        ("They cleaned up together.", "{His} {relative} gave {him} a hug."),
        JOY,
    ),
)

STUCK = Plot(
    name="stuck",
    friend=Friend.ABSENT,
    lesson="that it is good to ask for help",
    beats=(
        (
            "{when}, {H} threw {his} {color} {toy} up high, and it got stuck in a tree.",
            "{when}, the wind took {his} {color} {toy} up into a tree.",
        ),
        ("{H} jumped, but {he} could not get it.", "{H} was too small to reach it."),
        ("{He} threw a stick, but it did not help.", "{He} tried to climb, but {he} slid down."),
        DISMAY,
        ("{next}, a(n) {helper} came down the road.", "{next}, {H} saw a(n) {helper}."),
        (
            '"Please, will you help me?" {H_asks}.',
            '"Excuse me, can you reach my {toy}?" {H_asks}.',
        ),
        ('"That is easy for me," {X_says}.', '"Yes, of course," {X_says}.'),
        (
            "The {helper} took the {toy} down and gave it to {H}.",
            "The {helper} shook the tree, and down came the {toy}.",
        ),
        ('"Thank you so much!" {H_cries}.', '"You are so kind!" {H_cries}.'),
        ("{H} gave the {helper} some {food}.", "The {helper} smiled and went on."),
        JOY,
    ),
)

MOON = Plot(
    name="moon",
    friend=Friend.ABSENT,
    lesson="that some things are best left where they are",
    variants=(
        {"light": "moon", "water": "pond", "tool": "net"},
        {"light": "moon", "water": "well", "tool": "bucket"},
        {"light": "evening star", "water": "pond", "tool": "bucket"},
        {"light": "evening star", "water": "lake", "tool": "net"},
    ),
    beats=(
        (
            "One night, {H} looked into the {water} and saw the {light}.",
            "One clear night, {H} saw the {light} in the {water}.",
        ),
        (
            '"The {light} fell into the {water}!" {H_cries}.',
            '"I will take the {light} home," {H_says}.',
        ),
        ("So {he} got a {tool}.", "{H} ran home to get a {tool}."),
        (
            "{He} tried to catch the {light}, but it broke into little lights.",
            "{H} put the {tool} in, but there was only water in it.",
        ),
        ("{He} tried again and again.", "{H} tried until {he} was wet and cold."),
        ("{His} {relative} came with a lantern.", "{next}, {his} {relative} found {him} there."),
        ('"What are you doing?" {A_asks}.', '"Why are you so wet?" {A_asks}.'),
        ('"I want to save the {light}," {H_says}.', '"I cannot catch the {light}," {H_says}.'),
        ('"Look up," {A_says}.', '"Now look at the sky," {A_says}.'),
        (
            "{H} looked up, and there was the {light}, high in the sky.",
            "And there it was! The {light} was still in the sky.",
        ),
        ("{H} laughed.", "They laughed and sat there for a long time."),
    ),
)

CHICK = Plot(
    name="bird",
    friend=Friend.ABSENT,
    lesson="to be gentle with small things",
    beats=(
        (
            "{when}, {H} heard a tiny sound {spot1}.",
            "{when}, {H} found a baby bird {spot1}.",
        ),
        ("It was a baby bird that could not fly.", "The baby bird was all alone."),
        ('"Do not be afraid," {H_says}.', '"You poor little bird," {H_says}.'),
        (
            "{H} took the bird home and made it a warm bed.",
            "{He} put the bird in a box with soft grass.",
        ),
        ("Every day, {he} gave it food and water.", "{H} fed it and sang to it every day."),
        ("The little bird got bigger and stronger.", "Day by day, the bird grew."),
        ('"It is time to let it go," {A_says}.', '"Birds must fly," {A_says}.'),
        ("{H} did not want to, but {he} knew it was right.", "{H} was sad, but {he} nodded."),
        ("The bird flew up into the sky.", "Away it flew, high over the trees."),
        (
            "The next morning, the bird sang at the window.",
            "After that, the bird came back every spring to sing for {H}.",
        ),
        JOY,
    ),
)

PRACTICE = Plot(
    name="practice",
    friend=Friend.ABSENT,
    lesson="to keep trying",
    variants=(
        {"skill": "swim", "first": "sank", "last": "swam all the way across"},
        {"skill": "whistle", "first": "made no sound", "last": "whistled a happy song"},
        {"skill": "skate", "first": "fell down", "last": "skated in a big circle"},
        {"skill": "dive", "first": "made a big splash", "last": "dived like a fish"},
        {"skill": "juggle", "first": "dropped all the balls", "last": "juggled three balls"},
    ),
    beats=(
        (
            "{H} wanted to learn how to {skill}.",
            "More than anything, {H} wanted to {skill}.",
        ),
        ("{when}, {he} tried, but {he} {first}.", "{when}, {H} tried, but {he} {first}."),
        ('"I will never learn it," {H_says}.', '"It is too hard," {H_says}.', "{H} was {sad}."),
        (
            '"Nobody can {skill} on the first day," {A_says}.',
            '"Try a little every day," {A_says}.',
        ),
        ("The next day, {H} tried again, and {he} {first} again.", "So {H} tried again."),
        ("{He} did not stop.", "{He} tried every morning and every evening."),
        ("{next}, it got better.", "Each day, it was a little easier."),
        ("And one day, {H} {last}!", "At last, {H} {last}."),
        ('"I can {skill}!" {H_cries}.', '"Look, I did it!" {H_cries}.'),
        ('"I knew you could," {A_says}.', '"Well done!" {A_says}.'),
        JOY,
    ),
)

ALONE = (FIB, STUCK, MOON, CHICK, PRACTICE)
