"""Plots that two friends go through side by side."""

from beats import JOY, Friend, Plot

ONE_TOY = Plot(
    name="one toy",
    friend=Friend.KNOWN,
    lesson="that it is good to share",
    beats=(
        (
            "{when}, {H} and {F} found a(n) {color} {toy} {spot1}.",
            "{when}, {H} and {F} wanted to play with the same {toy}.",
        ),
        ('"It is mine!" {H_cries}.', '"I want it!" {H_cries}.'),
        ('"No, I saw it first!" {F_cries}.', '"No, give it to me!" {F_cries}.'),
        ("They pulled and pulled.", "They were both angry.", "Neither of them let go."),
        (
            "Then {F} began to cry, and {H} felt bad.",
            "Then the {toy} fell into the mud.",
            "{H}'s {relative} heard the noise and came.",
        ),
        ('"You can have it first," {H_says}.', '"I am sorry. Let us share it," {H_says}.'),
        ('"I am sorry too," {F_says}.', '"We can take turns," {F_says}.'),
        (
            "First it was {F}'s turn, and then it was {H}'s turn.",
            "So {H} and {F} played with the {toy} together.",
        ),
        ("It was much more fun that way.", "Nobody was angry any more."),
    ),
)

RACE = Plot(
    name="race",
    friend=Friend.KNOWN,
    lesson="that a friend is more than a prize",
    variants=(
        {"goal": "the old bridge"},
        {"goal": "the top of the hill"},
        {"goal": "the big oak"},
        {"goal": "the red gate"},
    ),
    beats=(
        (
            "{when}, {H} and {F} had a race to {goal}.",
            '{when}, {F} said, "Let us run to {goal}!"',
        ),
        ('"One, two, three, go!" {F_cries}.', "They ran as fast as they could."),
        ("{H} was ahead.", "Soon {H} was far in front.", "At first, {H} was faster."),
        ("Then {F} fell and hurt {fhis} leg.", "But {F} tripped over a stone and fell."),
        ("{H} heard a cry and looked back.", '"Ouch!" {F_cries}.'),
        (
            "{H} could win now, but {he} turned around.",
            "{H} did not think about the race any more.",
        ),
        ('"Are you hurt?" {H_asks}.', '"Lean on me," {H_says}.'),
        ('"You could have won," {F_says}.', '"But the race!" {F_says}.'),
        ('"You are more important," {H_says}.', '"We will win together," {H_says}.'),
        (
            "{H} helped {F}, and they reached {goal} side by side.",
            "Slowly, they walked to {goal} together.",
        ),
        ("There they sat down and ate {food}.", "Both of them were {glad}."),
    ),
)

PUMPKIN = Plot(
    name="pumpkin",
    friend=Friend.KNOWN,
    lesson="that together we are strong",
    variants=(
        {"thing": "pumpkin", "act": "push"},
        {"thing": "turnip", "act": "pull"},
        {"thing": "log", "act": "push"},
        {"thing": "wagon", "act": "pull"},
        {"thing": "snowball", "act": "push"},
    ),
    beats=(
        (
            "{when}, {H} saw a very big {thing} {place}.",
            "{when}, {H} wanted to bring home a huge {thing}.",
        ),
        ("{He} tried to {act} it, but it did not move.", "It was too heavy for {him}."),
        ('"{F}, come and help me!" {H_cries}.', "So {H} went to get {F}."),
        ('"One, two, three!" {F_cries}.', "They began to {act} it together."),
        ("The {thing} moved a little, but then it stopped.", "Still, the {thing} did not move."),
        ('"We need one more," {F_says}.', '"We are not strong enough," {H_says}.'),
        (
            'Then a tiny ant came. "I will help," said the ant.',
            "A(n) {helper} heard them and came to help.",
            "Then {H}'s {relative} came to help too.",
        ),
        ("All together, they tried again.", "They all took a deep breath."),
        ("And the {thing} began to roll!", "This time, the {thing} moved!"),
        ('"We did it!" {H_cries}.', '"Hooray!" {F_cries}.'),
        JOY,
    ),
)

LOST_WAY = Plot(
    name="lost way",
    friend=Friend.KNOWN,
    lesson="to stay calm and think",
    variants=(
        {"guide": "a light", "sense": "saw", "clue": "The light is from our home"},
        {"guide": "the river", "sense": "heard", "clue": "The river goes to our home"},
        {"guide": "a bell", "sense": "heard", "clue": "That is the bell of our home"},
        {"guide": "fresh bread", "sense": "smelled", "clue": "Somebody bakes bread at home"},
    ),
    beats=(
        (
            "{when}, {H} and {F} went for a long walk.",
            "{when}, {H} and {F} went to look for {food}.",
        ),
        ("They walked and talked and did not look at the path.", "They went very far."),
        ("Then a thick fog came.", "Then it got dark."),
        ('"Where are we?" {F_asks}.', '"I think we are lost," {F_says}.'),
        ("{F} began to cry.", "{F} was afraid.", "{F} wanted to run."),
        ('"Give me your hand, {F}," {H_says}.', '"Let us sit down and think," {H_says}.'),
        ("They were very quiet.", "{H} closed {his} eyes for a moment."),
        ("{next}, {H} {sense} {guide}.", "And then {H} {sense} {guide} far away."),
        ('"{clue}," {H_says}.', '"Come! {clue}," {H_says}.'),
        ("Step by step, they went that way.", "{H} went first, and {F} came after."),
        ("Soon they were home.", "At last, they saw the door of their home."),
        ('"You were so brave," {F_says}.', '"I was afraid, but you were calm," {F_says}.'),
    ),
)

LAST_ONE = Plot(
    name="last one",
    friend=Friend.KNOWN,
    lesson="that half is enough when you share",
    variants=(
        {"treat": "cookie"},
        {"treat": "pancake"},
        {"treat": "apple"},
        {"treat": "bun"},
        {"treat": "muffin"},
    ),
    beats=(
        (
            "{when}, {H} and {F} had a picnic {place}.",
            "{when}, {H} and {F} sat down to eat {place}.",
        ),
        ("They ate and ate until there was one {treat} left.", "There was only one {treat} left."),
        ("{H} looked at the {treat}.", "{H} was still hungry."),
        ("{F} looked at the {treat} too.", "{F} was still hungry too."),
        ('"You take it," {H_says}.', '"It is for you, {F}," {H_says}.'),
        ('"No, you take it," {F_says}.', '"No, it is for you, {H}," {F_says}.'),
        (
            "While they talked, a little ant came and took a bite.",
            "Then a small bird came and wanted it too.",
        ),
        ("They both laughed.", '"Look!" {H_cries}.'),
        ('"Let us make three parts," {F_says}.', '"There is some for all of us," {H_says}.'),
        ("So each of them had a little, and it was the best {treat} ever.", "And so they did."),
        JOY,
    ),
)

SURPRISE = Plot(
    name="surprise",
    friend=Friend.KNOWN,
    lesson="that friends do not forget",
    beats=(
        ("It was {H}'s birthday.", "That day was {H}'s birthday."),
        (
            "{H} waited for {F}, but {F} did not come.",
            "{H} went to see {F}, but {F} was not at home.",
        ),
        ('"Did {F} forget my birthday?" {H_asks}.', "{H} was {sad}."),
        ("{He} walked home slowly.", "{He} sat down {spot1}."),
        ("{next}, {he} heard a sound behind the door.", "When {he} came home, it was dark."),
        ('"Surprise!" {F_cries}.', '"Happy birthday, {H}!" {F_cries}.'),
        (
            "There were {color} lights and a big cake.",
            "All their friends were there, and there was cake for everyone.",
        ),
        ("{F} gave {H} a(n) {color} {toy}.", "{F} had made a(n) {toy} for {H}."),
        ('"I thought that you forgot me," {H_says}.', '"It is just what I wanted!" {H_cries}.'),
        ('"I could never forget you," {F_says}.', '"You are my best friend," {F_says}.'),
        ("They sang and danced.", "They played games until it was late."),
    ),
)

TOGETHER = (ONE_TOY, RACE, PUMPKIN, LOST_WAY, LAST_ONE, SURPRISE)
