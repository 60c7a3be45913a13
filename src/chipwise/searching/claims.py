"""What others say of their models: score messages as people post them, and rows of their ledgers, with their flaws.

A message is one line, `GROUP: best: dat=mnist, score=0.97369, model=KNeighborsClassifier(n_neighbors=4)`, perhaps in
quotes after `10/10 10:01>`. Nothing in it is executed.

>>> read_claims("dat=mnist, score=0.9<7, model=GaussianNB()*").claims[0].claim.flags
("mangled number '0.9<7', read as 0.9", "more than a message has: '*'")
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chipwise.core.errors import InputError
from chipwise.core.trial import Claim, Rung, Score, Trial, identity
from chipwise.searching.ledger import row_of
from chipwise.searching.model_string import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_LINES = 100_000
_LONGEST = 2500  # characters of a line that is read: a model string and what is around it
_WHEN = r"\d{1,2}/\d{1,2} \d{1,2}:\d{2}"
_CHAT = re.compile(rf'\s*(?P<when>{_WHEN})>\s*"?(?P<said>.*?)"?\s*')
_FROM = re.compile(rf"(?P<when>{_WHEN}) Is from '(?P<group>[\w.-]+)'")
_GROUP = re.compile(r"\s*(?!best\s*:|dat\w*\s*:|score\s*:|model\s*:)(?P<group>[\w.-]+)\s*:(?!=)")
_BEST = re.compile(r"\bbest\s*:")
_DATA = re.compile(r"\bdata?\b\s*(?P<sign>[=:]?)\s*(?P<name>[\w:./-]+)")
_SCORE = re.compile(r"\bscore\s*[=:]\s*(?P<number>[^\s,;\"']+)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MODEL = re.compile(r"(?:\bmodel\s*[=:]\s*)?(?P<model>[A-Za-z_]\w*\()")
_MOST_NAMED = 3
_CLOSED_BY = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a file of messages or rows says.

    Attributes:
        claims: rows of the state "claimed".
        notes: what was left out, a sentence each.
    """

    claims: tuple[Trial, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Message:
    """A message taken apart: what is not known is empty; flags say what is wrong with it."""

    group: str
    when: str
    data: str
    score: float | None
    model: str
    flags: tuple[str, ...]


def read_claims(text: str, group: str = "") -> Claims:
    """Read messages and rows, one a line.

    Args:
        text: of the file.
        group: who says so where a line does not.

    Raises:
        InputError: it has more than 100,000 lines, or not one claim.
    """
    lines = text.splitlines()
    if len(lines) > MOST_LINES:
        raise InputError(f"a file of {len(lines):,} lines", hint=f"at most {MOST_LINES:,} rows or messages at once")
    claims: list[Trial] = []
    notes: list[str] = []
    authors: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        corrected = _FROM.search(line)
        if corrected:
            authors[corrected["when"]] = corrected["group"]
        elif line.strip():
            made = _row(line) if line.lstrip().startswith("{") else _claim(line)
            if isinstance(made, str):
                notes.append(f"line {number} was left out: {made}")
            else:
                claims.append(made)
    if not claims:
        raise InputError("not one claim in it", hint="lines as: score=0.97, dat=mnist, model=GaussianNB(); or rows")
    said = {each.when for each in claims}
    notes += [f"the message of {when} is not there" for when in authors if when not in said]
    signed = [_signed(each, authors, group) for each in claims]
    return Claims(tuple(_compared(signed)), tuple(notes))


def same_data(claimed: str, given: str) -> bool:
    """Whether a claim may be of this data set: it names none, or the same, as "mnist" and "idx:data/mnist" do.

    >>> same_data("mnist", "idx:data/mnist"), same_data("mnist", "fashion-mnist")
    (True, False)
    """
    return not claimed or _last(claimed) == _last(given)


def _last(name: str) -> str:
    return re.split(r"[:/\\]", name.rstrip("/\\"))[-1].lower()


def _row(line: str) -> Trial | str:
    """A row of another ledger as a claim; why not, where it is none."""
    row = row_of(line.encode(errors="replace"))
    if row is None:
        return "it is no whole row"
    if row.state == "claimed" and row.claim is not None:
        return replace(row, claim=Claim(row.claim.text, row.claim.flags))  # its verdict is a claim like any other
    score = row.test or row.score
    if row.state != "finished" or score is None:
        return f"a row that is {row.state} claims no score"
    flags = () if row.test else ("a score of a validation split",)
    return replace(row, state="claimed", score=score, test=None, claim=Claim("a row of another ledger", flags))


def _claim(line: str) -> Trial | str:
    """A message as a claim; why not, where it is none."""
    if len(line) > _LONGEST:
        return f"it has {len(line):,} characters, more than {_LONGEST:,}"
    message = _message(line)
    if message.score is None:
        return "it has no score"
    if not message.model:
        return "it has no model"
    rung = Rung()
    return Trial(
        data=message.data, data_digest="", model=message.model, group=message.group, when=message.when, rung=rung,
        score=Score(message.score), claim=Claim(line.strip(), message.flags), state="claimed",
        id=identity(message.data, message.model, 0, rung),
    )  # fmt: skip


def _message(line: str) -> _Message:
    """Take a message apart: each part is cut out once it is read, and what is left at the end is too much."""
    chat = _CHAT.fullmatch(line)
    when, left = (chat["when"], chat["said"]) if chat else ("", line)
    flags: list[str] = []
    group, left = _cut(_GROUP, "group", left, at_start=True)
    model, left = _cut_model(left, flags)
    score, left = _cut_scores(left, flags)
    data = _DATA.search(left)
    if data is None:
        flags.append("no data set is named")
    else:
        left = left[: data.start()] + left[data.end() :]
        if not data["sign"]:
            flags.append(f"{data[0]!r} without '='")
    _, left = _cut(_BEST, 0, left)
    more = left.strip(" \t,;\"'")
    if more:
        flags.append(f"more than a message has: {more[:80]!r}")
    return _Message(group, when, data["name"] if data else "", score, model, tuple(flags))


def _cut(pattern: re.Pattern[str], name: str | int, text: str, *, at_start: bool = False) -> tuple[str, str]:
    found = pattern.match(text) if at_start else pattern.search(text)
    return ("", text) if found is None else (found[name], text[: found.start()] + text[found.end() :])


def _cut_model(text: str, flags: list[str]) -> tuple[str, str]:
    """The model from its name to its last bracket, canonical where it can be read, and the rest."""
    found = _MODEL.search(text)
    if found is None:
        return "", text
    end = _closed(text, found.end() - 1)
    if end is None:
        flags.append("the model has no end")
        end = len(text)
    model = text[found.start("model") : end]
    try:
        model = canonical(model)
    except InputError as error:
        flags.append(f"the model cannot be read: {error.message.rpartition(' is no model string: ')[2]}")
    return model, text[: found.start()] + text[end:]


def _closed(text: str, start: int) -> int | None:
    """Where the bracket at `start` is closed, brackets in quotes left aside; None where it is not."""
    awaited: list[str] = []
    quote = ""
    for place in range(start, len(text)):
        letter = text[place]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _CLOSED_BY:
            awaited.append(_CLOSED_BY[letter])
        elif awaited and letter == awaited[-1]:
            awaited.pop()
            if not awaited:
                return place + 1
    return None


def _cut_scores(text: str, flags: list[str]) -> tuple[float | None, str]:
    """The last score of a message, and the rest."""
    said: list[float] = []
    for found in _SCORE.finditer(text):
        number = _NUMBER.match(found["number"])
        if number is None:
            flags.append(f"no number: {found['number'][:40]!r}")
            continue
        if not math.isfinite(float(number[0])):
            flags.append(f"a number without end: {found['number'][:40]!r}")
            continue
        said.append(float(number[0]))
        if number[0] != found["number"]:
            flags.append(f"mangled number {found['number'][:40]!r}, read as {number[0]}")
    if len(said) > 1:
        flags.append(f"score given {len(said)} times: {', '.join(f'{each:.9g}' for each in said)}; the last one counts")
    if said and not 0 <= said[-1] <= 1:
        flags.append("a score that is no share from 0 to 1")
    return (said[-1] if said else None), _SCORE.sub("", text)


def _signed(claim: Trial, authors: dict[str, str], group: str) -> Trial:
    """A claim with its author: whom the line names, or a later line, or whom the file is from."""
    if claim.group or not (authors.get(claim.when) or group):
        return claim
    return replace(claim, group=authors.get(claim.when) or group)


def _compared(claims: Sequence[Trial]) -> list[Trial]:
    """Flag what one group says twice and not alike: two scores of one model, or one score of two models."""
    scores: dict[tuple[str, str], dict[float, None]] = {}
    models: dict[tuple[str, float], dict[str, None]] = {}
    for each in claims:
        if each.group and each.score is not None:
            scores.setdefault((each.group, each.model), {})[each.score.value] = None
            models.setdefault((each.group, each.score.value), {})[each.model] = None
    made = []
    for each in claims:
        said = 0.0 if each.score is None else each.score.value
        others = [f"{value:.9g}" for value in scores.get((each.group, each.model), {}) if value != said]
        alike = [model for model in models.get((each.group, said), {}) if model != each.model]
        flags = [f"the same group says {', '.join(others[:_MOST_NAMED])} of this model"] if others else []
        flags += [f"the same group says this score of {'; '.join(alike[:_MOST_NAMED])}"] if alike else []
        made.append(_flagged(each, flags))
    return made


def _flagged(claim: Trial, flags: Sequence[str]) -> Trial:
    assert claim.claim is not None, "a claim says what was said"
    kept = replace(claim.claim, flags=(*claim.claim.flags, *flags))
    return replace(claim, claim=kept)
