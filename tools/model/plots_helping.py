"""Plots in which the second character comes in half-way and one of the two helps the other."""

from beats import ASK_WHY, DISMAY, JOY, MEET, THANKS, Friend, Meeting, Plot

MISSING = Plot(
    name="missing",
    friend=Friend.MET,
    lesson="that friends help each other",
    beats=(
        (
            "{when}, {H} could not find {his} {color} {toy}.",
            "{when}, {H} saw that {his} {color} {toy} was gone.",
        ),
        (
            "{He} looked {spot1}, but it was not there.",
            "{H} looked {spot1} and {spot2}, but there was no {toy}.",
        ),
        DISMAY,
        MEET,
        ASK_WHY,
        ('"My {color} {toy} is gone," {H_says}.', '"I lost my {toy}," {H_says}.'),
        ('"Let us look for it together," {F_says}.', '"I will help you find it," {F_says}.'),
        ("They looked {place} for a long time.", "The two of them looked all over."),
        (
            "{next}, {F} saw something {color} {spot3}.",
            "At last, {F} looked {spot3}.",
        ),
        ('"Here it is!" {F_cries}.', '"I found your {toy}!" {F_cries}.', "It was the {toy}!"),
        THANKS,
        JOY,
    ),
)

BROKEN = Plot(
    name="broken",
    friend=Friend.MET,
    lesson="to never give up",
    variants=(
        {"thing": "sand castle", "makes": "build"},
        {"thing": "tree house", "makes": "build"},
        {"thing": "raft", "makes": "build"},
        {"thing": "snowman", "makes": "make"},
        {"thing": "kite", "makes": "make"},
        {"thing": "tower of blocks", "makes": "build"},
        {"thing": "paper boat", "makes": "make"},
    ),
    beats=(
        (
            "{when}, {H} wanted to {makes} a(n) {thing}.",
            '{when}, {H} had an idea. "I will {makes} a(n) {thing}!"',
        ),
        ("{He} worked all morning.", "It took a long time.", "{H} worked very hard."),
        (
            "But a strong wind came, and the {thing} broke.",
            "But then {H} slipped and fell on the {thing}.",
            "But the {thing} was weak, and it fell apart.",
        ),
        DISMAY,
        MEET,
        ASK_WHY,
        ('"My {thing} is broken," {H_says}.', '"I worked so hard on my {thing}," {H_says}.'),
        ('"We can {makes} a new one," {F_says}.', '"Two can do more than one," {F_says}.'),
        ("{H} and {F} worked side by side.", "So they began again, and {F} helped."),
        (
            "This time, the {thing} was big and strong.",
            "The new {thing} was better than the first.",
        ),
        THANKS,
        JOY,
    ),
)

FINDER = Plot(
    name="finder",
    friend=Friend.MET,
    lesson="to give back what is not yours",
    beats=(
        (
            "{when}, {H} found a(n) {color} {treasure} {spot1}.",
            "{when}, {H} saw something shine {spot1}. It was a(n) {color} {treasure}.",
        ),
        ('"How pretty!" {H_says}.', '"I will keep it," {H_says}.', "{He} liked it very much."),
        Meeting(
            known=(
                "{next}, {F} came by with a sad face.",
                "{next}, {H} saw {F}, who was looking for something.",
            ),
            stranger=(
                "{next}, a(n) {fkind} named {F} came by with a sad face.",
                "{next}, {H} met a(n) {fkind} named {F}, who was looking for something.",
            ),
        ),
        (
            '"Did you see my {color} {treasure}?" {F_asks}.',
            '"I lost my {treasure}, and it was a gift," {F_says}.',
        ),
        (
            "{H} wanted to keep the {treasure}, but it was not right.",
            "{H} thought about it for a moment.",
            "{H} looked at the {treasure} one last time.",
        ),
        ('"Here it is," {H_says}.', '"I found it. It is yours," {H_says}.'),
        ('"Oh, thank you!" {F_cries}.', '"You are very kind, {H}," {F_says}.'),
        (
            "{F} gave {H} some {food}.",
            "{F} was so happy that {fhe} sang.",
            "{F} asked {H} to come and play.",
        ),
        JOY,
    ),
)

STORM = Plot(
    name="storm",
    friend=Friend.MET,
    lesson="that there is always room for a friend",
    beats=(
        (
            "One night, there was a big storm.",
            "One evening, it began to rain very hard.",
        ),
        ("{H} was warm and dry inside.", "{H} sat by the fire and ate {food}."),
        ("Knock, knock! There was somebody at the door.", "Then there was a knock at the door."),
        Meeting(
            known=("It was {F}, and {fhe} was all wet.", "There stood {F}, cold and wet."),
            stranger=(
                "It was a(n) {fkind} named {F}, and {fhe} was all wet.",
                "There stood a(n) {ftrait} {fkind} named {F}, cold and wet.",
            ),
        ),
        (
            '"My home is full of water," {F_says}.',
            '"I lost my way in the rain," {F_says}.',
            '"May I come in, please?" {F_asks}.',
        ),
        ('"Come in, come in!" {H_cries}.', '"You can stay here tonight," {H_says}.'),
        ("{H} gave {F} a blanket and some hot soup.", "{H} gave {F} a place near the fire."),
        (
            "The thunder was loud, but they were not afraid together.",
            "They told stories until the storm was over.",
        ),
        ("In the morning, the sun came out.", "The next day, the sky was blue again."),
        ('"I will never forget this," {F_says}.', '"Thank you, {H}," {F_says}.'),
        JOY,
    ),
)

NOISE = Plot(
    name="noise",
    friend=Friend.MET,
    lesson="that scary things are often small",
    variants=(
        {"sound": "a scratch", "cause": "I was looking for my {toy} in the dark"},
        {"sound": "a bump", "cause": "I fell over a bucket"},
        {"sound": "a low moan", "cause": "I ate too much soup"},
        {"sound": "a strange song", "cause": "I sing when I am afraid"},
        {"sound": "a loud sneeze", "cause": "I have a cold"},
    ),
    beats=(
        (
            "One dark night, {H} heard {sound} outside.",
            "One night, {H} woke up. There was {sound} outside.",
        ),
        ('"Is it a monster?" {H_asks}.', "{H} hid under the blanket.", "{H} was very scared."),
        ("Then it came again.", "It came again and again."),
        (
            "{H} took a deep breath and opened the door.",
            "{He} took a lantern and went out, step by step.",
        ),
        ('"Who is there?" {H_asks}.', '"Come out!" {H_cries}.'),
        Meeting(
            known=("It was not a monster. It was only {F}!", "There in the dark stood {F}."),
            stranger=(
                "It was not a monster. It was only a(n) {fkind} named {F}!",
                "There in the dark stood a little {fkind} named {F}.",
            ),
        ),
        ('"I am sorry. {cause}," {F_says}.', '"It was me. {cause}," {F_says}.'),
        ('"I was so scared!" {H_says}.', '"You gave me a fright!" {H_says}.'),
        ('"I was scared too," {F_says}.', "Then they both laughed."),
        ("They had some warm milk.", "{H} and {F} sat and looked at the stars."),
        JOY,
    ),
)

NEIGHBOR = Plot(
    name="neighbor",
    friend=Friend.NEW,
    lesson="that a friend may only need a hello",
    beats=(
        ("{H} had nobody to play with.", "{when}, {H} was alone {place}."),
        Meeting(
            stranger=(
                "{next}, a(n) {fkind} named {F} moved in next door.",
                "{next}, {H} saw a new neighbor, a(n) {ftrait} {fkind} named {F}.",
            ),
        ),
        ("{F} did not say a word.", "{F} looked at the ground.", "{F} looked lonely."),
        ('"Hello, {F}!" {H_says}.', "{H} waved, but {F} was too shy to wave."),
        (
            "{H} went to get {his} {color} {toy}.",
            "{H} put some {food} in a basket and came back.",
        ),
        ('"Do you want to play?" {H_asks}.', '"Would you like to come with me?" {H_asks}.'),
        ('"Yes, I would like that," {F_says}.', '{F} smiled a little. "Yes, please!"'),
        (
            "They went {place} and played all afternoon.",
            "{H} showed {F} the best spot to play {place}.",
        ),
        ('"I was afraid that nobody would like me," {F_says}.', '"This is fun!" {F_cries}.'),
        ('"You are my friend now," {H_says}.', '"Come again tomorrow," {H_says}.'),
        JOY,
    ),
)

HELPING = (MISSING, BROKEN, FINDER, STORM, NOISE, NEIGHBOR)
