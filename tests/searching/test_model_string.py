"""Model strings come back as they were; everything else is refused with one error, and nothing of it runs."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.core.errors import InputError, UnknownNameError
from chipwise.searching.contestant import Given, contestant_of
from chipwise.searching.model_string import Model, canonical, parse, written

NAMES = st.from_regex(r"[a-zA-Z][a-z0-9]{0,8}_?[a-z]{1,3}", fullmatch=True).filter(
    lambda name: name not in {"and", "as", "def", "del", "elif", "for", "if", "in", "is", "not", "or", "try", "from",
                              "else", "pass", "with", "while", "class", "raise", "import", "global", "lambda", "yield",
                              "None", "True", "False", "return", "assert", "async", "await", "break", "except"}
)  # fmt: skip
TEXTS = st.text("abcXYZ0189 _-+*/.,:;()[]{}=<>|&%$!?@~^", max_size=12)
LITERALS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63 - 1), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)


def models(values: st.SearchStrategy[object]) -> st.SearchStrategy[Model]:
    inner = st.builds(lambda name, given: Model(name, (), dict(sorted(given.items()))), NAMES,
                      st.dictionaries(NAMES, values, max_size=3))  # fmt: skip
    return st.builds(
        lambda name, parts, given: Model(name, tuple(parts), dict(sorted(given.items()))),
        NAMES, st.lists(inner, max_size=2), st.dictionaries(NAMES, values, max_size=3),
    )  # fmt: skip


VALUES = st.recursive(
    LITERALS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXTS | st.integers(-99, 99), inner, max_size=3)
        | st.builds(lambda name, part: Model(name, (), {"part": part}), NAMES, inner)
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(models(VALUES))
def test_what_is_written_is_read_again(model: Model) -> None:
    text = written(model)
    if len(text) > 2000:
        return
    try:
        again = parse(text)
    except InputError as error:
        assert "more than 8 deep" in str(error)  # noqa: PT017  the one limit that the strategy may pass
        return
    assert repr(again) == repr(model)  # tells 1 from True and 1.0, and -0.0 from 0.0
    assert canonical(text) == text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("KNeighborsClassifier(n_neighbors=4,p=2,weights='distance')",
         "KNeighborsClassifier(n_neighbors=4, p=2, weights='distance')"),
        ('SVC(kernel = "rbf", C=1e1)', "SVC(C=10.0, kernel='rbf')"),
        ("make_pipeline(PCA(n_components=40), SVC(C=10))", "make_pipeline(PCA(n_components=40), SVC(C=10))"),
        ("Pipeline(steps=[('pca', PCA()), ('svc', SVC())])", "Pipeline(steps=[('pca', PCA()), ('svc', SVC())])"),
        ("RandomForestClassifier(n_estimators=1000,\n      max_depth=None, class_weight={0: 1, 1: -2.5})",
         "RandomForestClassifier(class_weight={0: 1, 1: -2.5}, max_depth=None, n_estimators=1000)"),
        ("MLP(sizes=(5,), more=())", "MLP(more=(), sizes=(5,))"),
    ],
)  # fmt: skip
def test_strings_as_people_write_them(given: str, expected: str) -> None:
    assert canonical(given) == expected
    assert canonical(expected) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be read"),
        ("KNeighborsClassifier", "no Name"),
        ("SVC(10)", "an argument of SVC has no name"),
        ("SVC(C=10, C=11)", "C of SVC is given twice"),
        ("SVC(**{'C': 1})", "is given \\*\\*arguments"),
        ("SVC(*[1])", "has no name"),
        ("SVC(C=nan)", "the bare name 'nan'"),
        ("SVC(C=1e999)", "too large"),
        ("SVC(C=9223372036854775808)", "too large"),
        ("SVC(C=" + "9" * 1900 + ")", "too large"),
        ("SVC(C=2**9)", "BinOp"),
        ("SVC(C=--1)", "UnaryOp"),
        ("SVC(C=-True)", "UnaryOp"),
        ("SVC(C=b'x')", "type bytes"),
        ("SVC(C=1j)", "type complex"),
        ("SVC(C=...)", "type ellipsis"),
        ("SVC(C={1, 2})", "Set"),
        ("SVC(C={**{}})", "key of a dict"),
        ("SVC(C={1: 2, 1: 3})", "given twice"),
        ("SVC(C={True: 2})", "key of a dict"),
        ("SVC(_private=1)", "no name of a model or argument"),
        ("__import__(name='os')", "no name of a model"),
        ("sklearn.svm.SVC()", "no plain name"),
        ("SVC()()", "no plain name"),
        ("SVC(C=1) # best", "a backslash or a #"),
        ("SVC(C='\\x41')", "a backslash"),
        ("SVC(C=\"it's\")", "a quote"),
        ("SVC(\x00)", "not printable"),
        ("ＳＶＣ()", "not printable ASCII"),
        ("SVC(C=" + "[" * 9 + "]" * 9 + ")", "8 deep"),
        ("SVC(C=" + "(" * 300 + ")" * 300 + ")", "cannot be read"),
        ("SVC(C=" + "-" * 1900 + "1)", "cannot be read|UnaryOp"),
        ("SVC(C=[" + "0," * 950 + "])", "more than 200 values|characters"),
        ("S" * 3000 + "()", "3,002 characters"),
    ],
)  # fmt: skip
def test_what_is_refused_is_told_why(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        parse(text)
    assert "write Name(" in caught.value.hint or "by position" in caught.value.hint
    assert len(caught.value.message) < 400


def hostile(chance: random.Random, target: str) -> str:
    """A string that would write a file, import something or take for ever if it were run, and is no model string."""
    touch = f"open('{target}','w')"
    evil = chance.choice([
        touch, f"__import__('os').system('touch {target}')", f"(lambda: {touch})()", f"[{touch} for _ in (1,)]",
        f"{{{touch} for _ in (1,)}}", f"next({touch} for _ in (1,))", f"f'{{{touch}}}'", f"f\"{{{touch}!r:>{{9}}}}\"",
        "().__class__.__bases__[0].__subclasses__()", "(x := 5)", "9**9**9", "1 << 10**9", "'a' * 10**10",
        "[0] * 10**10", f"exec(\"{touch}\")", f"eval(\"{touch}\")", f"compile(\"{touch}\", '', 'exec')",
        f"getattr(__builtins__, 'op' + 'en')('{target}', 'w')", "globals()['x']",
        "(yield 1)", "await x", "x if y else z", "not x", "a < b", "a and b", "a[0]", "a.b", "*a", "**a", "lambda: 0",
        "-" * chance.randrange(2, 1500) + "1", "(" * chance.randrange(150, 900), "[" * chance.randrange(9, 900),
        "\x00", "\ud800", "\u202e", "1e999", "9" * chance.randrange(20, 1900), "0x" + "f" * 1500, "1j", "b'x'", "...",
        "__name__", "__builtins__", "nan", "inf", "~1", "+1", "1 if 1 else 1", "print", "'\\x00'", "'\\N{BULLET}'",
        "'" + "a" * 2500 + "'", "{**{}}", "{1, 2}", "{[]: 1}", "{1.5: 2}", "{None: 2}", "a@b", "1 is 1", "`id`",
        "'''\n'''", "'unended", ")", "]", "}", ",", "=", ";import os", "\nimport os\n", "#", "$(touch x)",
        "{0.__class__}", "𝐞𝐱𝐞𝐜('1')", "ｏｐｅｎ('x')", "ℯval", "_", "__", "a\u0301", "type(1)(2)",
        "(SVC)", "SVC", "SVC.fit", "SVC()()", "SVC().fit()", "SVC()[0]", "SVC() + SVC()", "-SVC()",
    ])  # fmt: skip
    shapes: list[Callable[[str], str]] = [
        lambda e: e if not e.startswith("SVC()") or len(e) > 5 else e + ")",
        lambda e: f"SVC(C={e}" + ("" if chance.random() < 0.05 else ")"),
        lambda e: f"SVC(C=[1, {e}])",
        lambda e: f"SVC(C=(1, {e}))",
        lambda e: f"SVC(C={{'a': {e}}})",
        lambda e: f"SVC(1, {e})",
        lambda e: f"SVC(*{e})",
        lambda e: f"SVC(**{e})",
        lambda e: f"make_pipeline(PCA(n_components=4), {e}.x)",
        lambda e: f"make_pipeline(PCA(n_components={e}), SVC())",
        lambda e: f"SVC.{e}",
        lambda e: f"SVC(C=1).{e}",
        lambda e: f"SVC(C=1)({e})",
        lambda e: f"SVC(C=1); {e}",
        lambda e: f"{e} if SVC() else SVC()",
        lambda e: f"SVC(__class__={e})",
        lambda e: f"(lambda SVC: {e})(SVC=1)",
        lambda e: f"[SVC(C={e}) for SVC in (1,)]",
        lambda e: f"SVC(C=(y := {e}))",
        lambda e: f"f'{{SVC({e})}}'",
    ]
    return chance.choice(shapes)(evil)


def test_ten_thousand_hostile_strings_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    target = tmp_path / "touched"
    chance = random.Random(8)
    seen: set[str] = set()
    events: list[str] = []
    watched = {"exec", "open", "import", "os.system", "subprocess.Popen", "object.__getattr__"}
    listening = True

    def audit(event: str, _arguments: tuple[object, ...]) -> None:
        if listening and event in watched:
            events.append(event)

    parse("SVC()")
    sys.addaudithook(audit)  # for the life of this process; it hears nothing once the test is over
    accepted: list[tuple[str, Model]] = []
    errors: list[InputError] = []
    while len(seen) < 10_000:
        text = hostile(chance, str(target)) + " " * chance.randrange(3) * chance.randrange(30)
        if text in seen:
            continue
        seen.add(text)
        try:
            accepted.append((text, parse(text)))
        except InputError as error:
            errors.append(error)
    listening = False
    assert not accepted[:3]
    assert len(errors) == 10_000
    assert all(error.hint and "\n" not in error.message and len(error.message) < 400 for error in errors)
    assert not events
    assert not target.exists()


@pytest.mark.parametrize("text", ["exit()", "breakpoint()", "open(file='x', mode='w')", "eval(source='1')", "print()"])
def test_what_is_no_model_is_in_no_table(text: str) -> None:
    """These are well formed, and name nothing that a contestant is built from."""
    with pytest.raises(UnknownNameError, match="unknown model"):
        contestant_of(canonical(text), Given(classes=2))
