"""The text that the bundled model is trained on."""

import itertools
import json
import re
import string

import beats
import pytest
import roles
import stories
import telling
import words

OF_THE_FRIEND = {"F", "F_says", "F_asks", "F_cries", "fhe", "fhim", "fhis", "fkind", "ftrait"}
KINDS = (*words.ANIMALS, "boy", "girl")
INTRODUCED = re.compile(r"\ban? (?:\w+ )?(\w+) (?:named|called|whose name was) ([A-Z]\w+)")


@pytest.fixture(scope="module")
def drawn_stories():
    return list(stories.draw_stories("tests", 2000))


class TestSeed:
    def test_same_seed_same_text(self):
        first, second = (list(stories.draw_stories("a", 50)) for _ in range(2))
        assert [s.document for s in first] == [s.document for s in second]

    def test_other_seed_other_text(self):
        first, second = (list(stories.draw_stories(seed, 50)) for seed in "ab")
        assert not {s.document for s in first} & {s.document for s in second}

    def test_more_stories_begin_with_the_same_ones(self):
        few, many = (list(stories.draw_stories("a", count)) for count in (10, 20))
        assert [s.document for s in many[:10]] == [s.document for s in few]

    def test_files_come_back_as_the_documents_written(self, tmp_path):
        path = tmp_path / "train.txt"
        size = stories.write_stories(path, "a", 20)
        assert size == path.stat().st_size
        assert stories.read_documents(path) == [s.document for s in stories.draw_stories("a", 20)]


class TestLanguage:
    @pytest.mark.parametrize(
        ("marked", "spelled"),
        [
            ("a(n) elephant", "an elephant"),
            ("a(n) bear", "a bear"),
            ("A(n) owl saw a(n) fox.", "An owl saw a fox."),
            ("a(n) Otter", "an Otter"),
            ("an apple and a pear", "an apple and a pear"),
        ],
    )
    def test_articles_are_spelled_by_the_next_letter(self, marked, spelled):
        assert words.spell_articles(marked) == spelled

    def test_articles_are_right(self, drawn_stories):
        for story in drawn_stories:
            assert not re.search(r"\ba [aeiou]", story.narrative.text, re.IGNORECASE), (
                story.narrative.text
            )
            assert not re.search(r"\ban [^aeiou]", story.narrative.text, re.IGNORECASE), (
                story.narrative.text
            )

    def test_no_word_defies_the_rule_of_articles(self):
        every = itertools.chain(
            *(words.ANIMALS, words.TALL_HELPERS, words.TRAITS, words.COLORS),
            *(words.TOYS, words.TREASURES),
        )
        odd = re.compile(r"hour|honest|heir|uni|use|eu|one\b")
        assert [word for word in every if odd.match(word)] == []

    def test_ascii_only_and_every_slot_filled(self, drawn_stories):
        for story in drawn_stories:
            assert story.document.isascii()
            assert not re.search(r"[{}@\0]|\(n\)", story.narrative.text)
            assert stories.END_OF_TEXT not in story.document

    def test_no_word_twice_in_a_row(self, drawn_stories):
        for story in drawn_stories:
            assert not re.search(r"\b(\w+) \1\b", story.narrative.text), story.narrative.text

    def test_sentences_end_and_begin(self, drawn_stories):
        for story in drawn_stories:
            for line in story.narrative.text.split("\n"):
                assert line[0] in string.ascii_uppercase + '"'
                assert line[-1] in '.!?"'


class TestNames:
    def test_characters_share_no_name_and_no_animal(self, drawn_stories):
        for story in drawn_stories:
            cast = story.narrative.cast
            three = (cast.hero, cast.friend, cast.acquaintance)
            assert len({character.name for character in three}) == 3
            animals = [character.kind for character in three if character.animal]
            assert len(set(animals)) == len(animals)
            assert cast.helper not in animals

    def test_the_friend_is_named_only_in_stories_with_a_friend(self, drawn_stories):
        for story in drawn_stories:
            cast = story.narrative.cast
            assert re.search(rf"\b{cast.hero.name}\b", story.narrative.text)
            named = re.search(rf"\b{cast.friend.name}\b", story.narrative.text) is not None
            assert named == story.narrative.friend_appears

    def test_each_name_has_one_kind(self, drawn_stories):
        titled = re.compile(rf"\b([A-Z][a-z]+) the ({'|'.join(KINDS)})\b")
        for story in drawn_stories:
            cast = story.narrative.cast
            kinds = {character.name: character.kind for character in (cast.hero, cast.friend)}
            pairs = [(name, kind) for kind, name in INTRODUCED.findall(story.narrative.text)]
            pairs += titled.findall(story.narrative.text)
            assert all(kinds[name] == kind for name, kind in pairs), story.narrative.text

    def test_no_character_is_introduced_twice(self, drawn_stories):
        for story in drawn_stories:
            names = [name for _, name in INTRODUCED.findall(story.narrative.text)]
            assert len(set(names)) == len(names), story.narrative.text

    def test_roles_are_kept(self, drawn_stories):
        for story in drawn_stories[:60]:
            reading = roles.read_story(story.narrative.text)
            assert reading.slips == ()
            assert reading.plot == story.narrative.plot.name
            assert reading.hero == story.narrative.cast.hero.name

    def test_a_reading_finds_friends_who_swap_names(self, drawn_stories):
        of_two = [story.narrative for story in drawn_stories if story.narrative.friend_appears]
        for narrative in of_two[:25]:
            hero, friend = narrative.cast.hero.name, narrative.cast.friend.name
            middle = len(narrative.text) * 3 // 5
            swap = {hero: friend, friend: hero}
            rest = re.sub(
                rf"\b({hero}|{friend})\b", lambda m, swap=swap: swap[m[1]], narrative.text[middle:]
            )
            assert not roles.read_story(narrative.text[:middle] + rest).keeps_names

    def test_a_reading_finds_no_story_elsewhere(self):
        assert not roles.read_story("Paris is the capital of France.").is_story
        assert not roles.read_story("").is_story


class TestPlots:
    def test_names_are_unique_and_all_are_told(self, drawn_stories):
        names = [plot.name for plot in stories.PLOTS]
        assert len(set(names)) == len(names)
        assert {story.narrative.plot.name for story in drawn_stories} == set(names)

    def test_a_friend_who_is_met_has_a_meeting(self):
        for plot in stories.PLOTS:
            meetings = [beat for beat in plot.beats if isinstance(beat, beats.Meeting)]
            met = plot.friend in (beats.Friend.NEW, beats.Friend.MET)
            assert len(meetings) == met, plot.name
            for meeting in meetings:
                assert bool(meeting.known) == (plot.friend is beats.Friend.MET), plot.name

    def test_a_hero_alone_speaks_of_no_friend(self):
        for plot in stories.PLOTS:
            if plot.friend is beats.Friend.ABSENT:
                slots = set(re.findall(r"\{(\w+)\}", " ".join(itertools.chain(*plot.beats))))
                assert not slots & OF_THE_FRIEND, plot.name

    def test_every_sentence_can_be_filled(self, drawn_stories):
        fillings = {story.narrative.plot.name: story.narrative.slots for story in drawn_stories}
        for plot in stories.PLOTS:
            for beat in plot.beats:
                meeting = isinstance(beat, beats.Meeting)
                for sentence in (*beat.stranger, *beat.known) if meeting else beat:
                    assert sentence.format_map(fillings[plot.name])

    def test_most_stories_have_a_well_known_beginning(self, drawn_stories):
        texts = [story.narrative.text for story in drawn_stories]
        assert 0.4 < sum(t.startswith("Once upon a time") for t in texts) / len(texts) < 0.6
        assert sum(t.startswith("One day,") for t in texts) > 100
        assert sum(t.startswith("There once was") for t in texts) > 100


class TestExtras:
    @staticmethod
    def kind_of(story):
        narrative, document = story.narrative.text, story.document
        if document == narrative:
            return "plain"
        if document.startswith(narrative):
            return "card after"
        before = document.removesuffix(narrative)
        assert before != document
        return "card before" if before.startswith(("Facts: {", '{"')) else "words before"

    def test_shares(self, drawn_stories):
        kinds = [self.kind_of(story) for story in drawn_stories]
        shares = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}
        assert 0.24 < 1 - shares["plain"] < 0.32
        assert 0.06 < shares["card after"] < 0.10
        assert 0.02 < shares["card before"] < 0.05
        assert 0.14 < shares["words before"] < 0.20

    def test_cards_are_json(self, drawn_stories):
        for story in drawn_stories:
            kind = self.kind_of(story)
            if not kind.startswith("card"):
                continue
            text = story.document.removeprefix(story.narrative.text).removesuffix(
                story.narrative.text
            )
            facts = json.loads(text.strip().removeprefix("Facts: "))
            cast = story.narrative.cast
            assert facts.get("name", cast.hero.name) == cast.hero.name
            assert facts.get("kind", cast.hero.kind) == cast.hero.kind
            assert cast.hero.name not in facts.get("friends", [])
            if "friends" in facts:
                assert (cast.friend.name in facts["friends"]) == story.narrative.friend_appears

    def test_requests_name_the_hero_of_the_story(self, drawn_stories):
        requests = [
            (story.document.removesuffix(story.narrative.text), story.narrative.cast.hero.name)
            for story in drawn_stories
            if story.document.startswith(("Tell me a story", "Write a short story", "A story"))
        ]
        assert len(requests) > 50
        assert all(hero in request for request, hero in requests)


def test_a_sentence_keeps_the_capitals_inside_it():
    assert telling._capitalize("the fox met Ruby.") == "The fox met Ruby."
