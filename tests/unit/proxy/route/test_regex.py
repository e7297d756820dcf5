"""Patterns: equal to Python's `re` where both speak, refused where an automaton cannot, and linear in time."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.route.pattern import PatternError
from proxy.route.regex import MAX_STATES, MAX_TEXT_BYTES, Regex

ATOMS = ["a", "b", "/", ".", "[ab]", "[^a]", "[a-c/]", r"\d", r"\w", r"\S", r"\.", "[]a]", "[a-]", r"[\d.]"]
QUANTIFIERS = ["", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?", "+?", "{0}"]

atoms = st.sampled_from(ATOMS)
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: "(" + "|".join(parts) + ")"),
        st.tuples(inner, st.sampled_from(QUANTIFIERS)).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    ),
    max_leaves=8,
)
texts = st.text("ab/.1-]c", max_size=12)


def compile_if_small(pattern: str) -> Regex | None:
    """Compile a pattern whose syntax is right, if it is not too large."""
    try:
        return Regex(pattern)
    except PatternError as error:
        if "too large" not in str(error):
            raise
        return None


@settings(deadline=None)
@given(patterns, st.lists(texts, min_size=1, max_size=5))
def test_it_agrees_with_re(pattern: str, candidates: list[str]) -> None:
    ours = compile_if_small(pattern)
    if ours is None:
        return
    theirs = re.compile(pattern, re.ASCII | re.DOTALL)
    for text in candidates:
        assert ours.matches(text.encode()) == bool(theirs.fullmatch(text))


@settings(deadline=None)
@given(patterns, texts)
def test_asking_again_gives_the_same(pattern: str, text: str) -> None:
    regex = compile_if_small(pattern)
    if regex is not None:
        assert regex.matches(text.encode()) == regex.matches(text.encode()) == Regex(pattern).matches(text.encode())


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", b"", True),
        ("", b"/", False),
        ("/emoji/[0-9]+", b"/emoji/12", True),
        ("/emoji/[0-9]+", b"/emoji/12/x", False),
        ("^/a$", b"/a", True),
        ("/a|/b", b"/b", True),
        ("(a|)b", b"b", True),
        (r"/\$\{x\}", b"/${x}", True),
        (".*", b"/\xff\x00", True),
        ("[^a]", b"\xff", True),
    ],
)
def test_examples(pattern: str, text: bytes, expected: bool) -> None:
    assert Regex(pattern).matches(text) is expected


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("a**", "at character 3: '*' repeats a repetition"),
        ("*a", "at character 1: '*' stands for itself only as \\*"),
        ("(", "'the end' comes before a closing )"),
        ("a)", "at character 2: ')' has no partner"),
        ("[a", "'the end' comes before a closing ]"),
        ("[]", "'the end' comes before a closing ]"),
        ("[b-a]", "range"),
        (r"[\d-z]", "range"),
        (r"[^\d\D]", "no character"),
        ("a{", "count"),
        ("a{3,1}", "maximum is below its minimum"),
        ("a{1000}", "below 1000"),
        ("(?i)a", "extension"),
        ("(?=a)", "extension"),
        (r"(a)\1", r"cannot follow \ "[:-1]),
        ("a\\", r"cannot follow \ "[:-1]),
        ("a$b", "or at the end"),
        ("b^", "stands for itself"),
        ("é", "printable ASCII"),
        ("]", "stands for itself"),
        ("(" * 60 + ")" * 60, "parentheses deep"),
        ("((a{20}){20}){20}", "too large"),
        ("((){999}){999}", "too large"),
        ("a" * 1025, "longer than 1024"),
    ],
)
def test_refusals_say_why(pattern: str, part: str) -> None:
    with pytest.raises(PatternError) as caught:
        Regex(pattern)
    assert part in str(caught.value)


def test_what_makes_backtracking_explode_is_linear() -> None:
    # Python's re would need about 2^8000 steps for this.
    assert not Regex("(a+)+b").matches(b"a" * 8000)
    assert not Regex("(a|a)*(a|a)*b").matches(b"a" * 8000)


def test_the_automaton_stays_bounded() -> None:
    # The 13th character from the end decides, so an automaton that kept every state would have 2^13 of them.
    regex = Regex("(a|b)*a(a|b){12}")
    numbers = "".join(f"{number:013b}" for number in range(600)).replace("0", "a").replace("1", "b")
    for text in (numbers[:8000], numbers[5:8005], numbers[7:7999]):
        assert regex.matches(text.encode()) == (text[-13] == "a")
    assert len(regex._moves) <= MAX_STATES


def test_a_longer_text_matches_nothing() -> None:
    assert Regex(".*").matches(b"/" * MAX_TEXT_BYTES)
    assert not Regex(".*").matches(b"/" * (MAX_TEXT_BYTES + 1))
