"""Model strings as people post them, `KNeighborsClassifier(n_neighbors=4, weights='distance')`, read and never run.

Python's own parser makes a syntax tree of the text; what is not a name with literal arguments is refused. No name is
looked up here: who builds the model has a table of those that it knows.

>>> canonical("make_pipeline(PCA(n_components=40), SVC(gamma='scale',C=10))")
"make_pipeline(PCA(n_components=40), SVC(C=10, gamma='scale'))"
"""

from __future__ import annotations

import ast
import keyword
import math
from dataclasses import dataclass
from typing import TypeAlias

from chipwise.core.errors import InputError

MOST_CHARACTERS = 2000
MOST_DEEP = 8  # brackets within brackets
MOST_VALUES = 200
_VALUES = (ast.Constant, ast.Call, ast.Tuple, ast.List, ast.Dict)
_MOST_INTEGER = 2**63 - 1
_SHOWN = 80
_HINT = "write Name(argument=value, ...), values being numbers, 'text', True, False, None, lists, dicts, or models"

Form: TypeAlias = "tuple[str, tuple[Form, ...]]"
Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | list[Value] | dict[str | int, Value] | Model | None"


@dataclass(frozen=True, slots=True)
class Model:
    """A name with its arguments, as somebody wrote it.

    Attributes:
        name: an ASCII identifier; nobody has looked whether there is such a model.
        parts: models that were given by position, as the steps of a pipeline.
        arguments: by name, in the order of the names.
    """

    name: str
    parts: tuple[Model, ...]
    arguments: dict[str, Value]

    def __str__(self) -> str:
        """The canonical model string."""
        return written(self)


def form_of(model: Model) -> Form:
    """The names in a model without its values: what models of one kind have in common.

    >>> form_of(parse("make_pipeline(PCA(n_components=40), SVC(C=10))"))
    ('make_pipeline', (('PCA', ()), ('SVC', ())))
    """
    return model.name, tuple(form_of(part) for part in model.parts)


def canonical(text: str) -> str:
    """The one way to write this model: arguments in the order of their names; those left out stay out.

    Raises:
        InputError: it is no model string.
    """
    return written(parse(text))


def parse(text: str) -> Model:
    """Read a model string. Nothing in it is executed or looked up.

    Args:
        text: of at most 2,000 printable ASCII characters.

    Raises:
        InputError: it is anything but a name with literals and such models as arguments.
    """
    tree = _tree(text)
    if not isinstance(tree, ast.Call):
        raise _refused(text, "it is no Name(...)")
    if sum(isinstance(node, _VALUES) for node in ast.walk(tree)) > MOST_VALUES:
        raise _refused(text, f"it has more than {MOST_VALUES} values")
    return _model(tree, text, MOST_DEEP)


def written(value: Value) -> str:
    """A model or value as `parse` reads it again."""
    if isinstance(value, Model):
        named = (f"{name}={written(each)}" for name, each in sorted(value.arguments.items()))
        return f"{value.name}({', '.join((*map(written, value.parts), *named))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(written, value))}{',' * (len(value) == 1)})"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {written(each)}" for key, each in value.items()) + "}"
    return repr(value)


def _tree(text: str) -> ast.expr:
    if len(text) > MOST_CHARACTERS:
        raise _refused(text, f"it has {len(text):,} characters, more than {MOST_CHARACTERS:,}")
    if not all(letter.isprintable() or letter in "\n\t" for letter in text) or not text.isascii():
        raise _refused(text, "it has characters that are not printable ASCII")
    if any(letter in text for letter in "\\#"):
        raise _refused(text, "it has a backslash or a #")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise _refused(text, f"it cannot be read: {error.msg}") from error
    except (ValueError, MemoryError, RecursionError) as error:  # too many digits, or brackets
        raise _refused(text, "it cannot be read: too large or too deep") from error


def _model(node: ast.Call, text: str, deep: int) -> Model:
    if not isinstance(node.func, ast.Name):
        raise _refused(text, "what is called is no plain name")
    name = _checked_name(node.func.id, text)
    parts = []
    for part in node.args:
        if not isinstance(part, ast.Call):
            raise _refused(text, f"an argument of {name} has no name", "only models may be given by position")
        parts.append(_model(part, text, _less(deep, text)))
    arguments: dict[str, Value] = {}
    for each in node.keywords:
        if each.arg is None:
            raise _refused(text, f"{name} is given **arguments")
        if _checked_name(each.arg, text) in arguments:
            raise _refused(text, f"{each.arg} of {name} is given twice")
        arguments[each.arg] = _value(each.value, text, _less(deep, text))
    return Model(name, tuple(parts), dict(sorted(arguments.items())))


def _value(node: ast.expr, text: str, deep: int) -> Value:
    if isinstance(node, ast.Constant):
        return _constant(node.value, text)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        number = _constant(node.operand.value, text)
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            return -number
    if isinstance(node, ast.Call):
        return _model(node, text, deep)
    if isinstance(node, (ast.Tuple, ast.List)):
        values = [_value(each, text, _less(deep, text)) for each in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)
    if isinstance(node, ast.Dict):
        return _dict(node, text, _less(deep, text))
    raise _refused(text, f"a value is {_what(node)}")


def _constant(value: object, text: str) -> bool | int | float | str | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if any(letter in "'\"\n\t" for letter in value):
            raise _refused(text, "a text in it has a quote or a line break")
        return value
    if isinstance(value, int) and value <= _MOST_INTEGER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (int, float)):
        raise _refused(text, "a number in it is too large")
    raise _refused(text, f"a value is of type {type(value).__name__}")


def _dict(node: ast.Dict, text: str, deep: int) -> dict[str | int, Value]:
    made: dict[str | int, Value] = {}
    for key_node, value in zip(node.keys, node.values, strict=True):
        key = None if key_node is None else _value(key_node, text, deep)
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            raise _refused(text, "a key of a dict is no text and no whole number")
        if key in made:
            raise _refused(text, f"the key {key!r} is given twice")
        made[key] = _value(value, text, deep)
    return made


def _checked_name(name: str, text: str) -> str:
    if name.startswith("_") or "__" in name or keyword.iskeyword(name):
        raise _refused(text, f"{name[:_SHOWN]!r} is no name of a model or argument")
    return name


def _less(deep: int, text: str) -> int:
    if deep == 0:
        raise _refused(text, f"brackets are more than {MOST_DEEP} deep")
    return deep - 1


def _what(node: ast.expr) -> str:
    """A node as people call it."""
    if isinstance(node, ast.Name):
        return f"the bare name {node.id[:_SHOWN]!r}"
    return f"an expression ({type(node).__name__}), not a literal"


def _refused(text: str, why: str, hint: str = _HINT) -> InputError:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return InputError(f"{shown!a} is no model string: {why}", hint=hint)
