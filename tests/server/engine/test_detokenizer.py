from __future__ import annotations

import random

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from hfgen.server.engine.detokenizer import Detokenizer, Vocabulary

TEXTS = [
    "Once upon a time, there was a fox.",
    "👩‍👩‍👧‍👦 🦊🌙 e\u0301 👍🏽",
    "むかしむかし、あるところに狐がいました。",
    "很久以前有一只勇敢的狐狸。",
    "كان يا ما كان ثعلب شجاع",
    "एक समय की बात है",
    "replaced: \ufffd and on",
    "  spaces\n\n\tand\r\nlines  ",
]


@pytest.fixture(scope="module")
def vocabulary(model):
    return Vocabulary(model.tokenizer)


@pytest.fixture(scope="module")
def fallback():
    """A tokenizer like those of sentencepiece: a mark for a space, and bytes for the rest."""
    words = ["<unk>", "<s>", *(f"<0x{i:02X}>" for i in range(256)), "▁the", "▁fox", "a", "▁"]
    tokenizer = Tokenizer(
        models.BPE({word: i for i, word in enumerate(words)}, [], byte_fallback=True)
    )
    tokenizer.add_special_tokens([AddedToken("<s>", special=True)])
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return Vocabulary(tokenizer)


def ids_of(vocabulary, *words):
    return [vocabulary.tokenizer.token_to_id(word) for word in words]


def bytes_of(vocabulary, data):
    return ids_of(vocabulary, *(f"<0x{byte:02X}>" for byte in data))


def texts(vocabulary, ids, prompt=()):
    detokenizer = Detokenizer(vocabulary, prompt)
    return [detokenizer.push(token_id) for token_id in ids], detokenizer.flush()


@pytest.mark.parametrize("text", TEXTS)
def test_whole_characters_and_nothing_lost(vocabulary, text):
    ids = vocabulary.tokenizer.encode(text).ids
    pieces, rest = texts(vocabulary, ids)
    assert "".join(pieces) == text
    assert rest == ""
    assert any(not piece for piece in pieces) == (not text.isascii())
    if "\ufffd" not in text:
        assert "\ufffd" not in "".join(pieces)


@pytest.mark.parametrize("seed", range(100))
def test_random_tokens_add_up_to_what_the_tokenizer_decodes(vocabulary, seed):
    rng = random.Random(seed)
    size = vocabulary.tokenizer.get_vocab_size()
    ids = [rng.choice([0, *rng.choices(range(size), k=6)]) for _ in range(rng.randrange(1, 80))]
    pieces, rest = texts(vocabulary, ids, prompt=[5, 6, 7])
    ordinary = [
        piece for piece, i in zip(pieces, ids, strict=True) if i not in vocabulary.special_tokens
    ]
    whole = vocabulary.tokenizer.decode(ids, skip_special_tokens=True)
    assert "".join(ordinary) + rest == whole


def test_special_tokens_have_their_own_text(vocabulary):
    assert vocabulary.special_tokens == {0: "<|endoftext|>"}
    fox = vocabulary.tokenizer.encode("fox").ids
    pieces, rest = texts(vocabulary, [*fox, 0, *fox])
    assert ("".join(pieces), rest) == ("fox<|endoftext|>fox", "")


def test_added_tokens_that_are_not_special_are_text(vocabulary):
    user = vocabulary.tokenizer.token_to_id("<|user|>")
    assert user not in vocabulary.special_tokens
    assert texts(vocabulary, [user]) == (["<|user|>"], "")


def test_a_special_token_does_not_part_a_character(vocabulary):
    ids = vocabulary.tokenizer.encode("é").ids
    assert len(ids) == 2
    assert texts(vocabulary, [ids[0], 0, ids[1]]) == (["", "<|endoftext|>", "é"], "")


def test_half_a_character_at_the_end_is_flushed_once(vocabulary):
    ids = vocabulary.tokenizer.encode("a🦊").ids
    detokenizer = Detokenizer(vocabulary)
    assert [detokenizer.push(i) for i in ids[:-1]] == ["a", "", "", ""]
    assert detokenizer.flush() == "\ufffd"
    assert detokenizer.flush() == ""


def test_tokens_alone(vocabulary):
    ids = vocabulary.tokenizer.encode(" é").ids
    assert [vocabulary.decode_alone(i) for i in [*ids, 0]] == [
        " ",
        "\ufffd",
        "\ufffd",
        "<|endoftext|>",
    ]
    assert vocabulary.decode_alone(ids[0]) == " "


def test_the_space_between_prompt_and_text_is_kept(fallback):
    fox, the = ids_of(fallback, "▁fox", "▁the")
    assert texts(fallback, [fox, the], prompt=[1, the]) == ([" fox", " the"], "")
    assert texts(fallback, [fox, the]) == (["fox", " the"], "")


def test_characters_from_bytes(fallback):
    ids = bytes_of(fallback, "🦊".encode())
    assert texts(fallback, ids) == (["", "", "", "🦊"], "")


def test_a_decoder_that_takes_a_character_back(fallback):
    # Bytes that follow each other are decoded together: with 0xFF after it the "é" is no "é".
    a = ids_of(fallback, "a")
    pieces, rest = texts(fallback, [*bytes_of(fallback, "é".encode() + b"\xff"), *a, *a])
    assert (pieces, rest) == (["", "é", "", "\ufffda", "a"], "")


@pytest.mark.parametrize("seed", range(30))
def test_random_bytes_raise_nothing_and_keep_the_letters(fallback, seed):
    rng = random.Random(seed)
    a = ids_of(fallback, "a")[0]
    ids = [rng.choice([a, *bytes_of(fallback, rng.randbytes(4))]) for _ in range(60)]
    pieces, rest = texts(fallback, ids)
    assert ("".join(pieces) + rest).count("a") >= ids.count(a)


def test_byte_level_alphabet_is_whole(vocabulary):
    tokens = vocabulary.tokenizer.get_vocab()
    assert all(character in tokens for character in pre_tokenizers.ByteLevel.alphabet())
