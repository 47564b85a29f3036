"""Conditions of alert rules: arithmetic and comparisons over named figures, and nothing else.

The grammar is Python's, read by the standard library's parser and then held to a list of allowed nodes; what is
not on the list is refused when the file is read, and nothing is ever handed to eval. Two libraries that cannot
run code either were measured first: rule-engine adds 11 MB and cel-python 18 MB to a daemon that may have 45 MB
in all (`ast` is loaded by dataclasses anyway), and simpleeval's sandbox has been left more than once.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

LENGTH_MAX = 500  # characters: no condition a person writes is longer

Values = Mapping[str, float | None]
_Number = Callable[[Values], float | None]
_Truth = Callable[[Values], bool | None]

_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ALLOWED = "allowed are numbers, names, + - * /, < <= > >= == !=, and, or, not, parentheses"


class ExpressionError(ValueError):
    """A condition that is not valid; the message says why."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition that was checked. `names` are the figures it needs."""

    text: str
    names: frozenset[str]
    _truth: _Truth

    def holds(self, values: Values) -> bool | None:
        """Whether it is true of these figures; None where a missing figure, or a division by zero, leaves it open."""
        return self._truth(values)


def parse(text: str, known: Collection[str]) -> Expression:
    """Check a condition. Raises ExpressionError for anything but a comparison over `known` names."""
    if len(text) > LENGTH_MAX:
        msg = f"a condition may have {LENGTH_MAX} characters, this one has {len(text)}"
        raise ExpressionError(msg)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "invalid decimal literal" and the like: it is no Python program
            root = ast.parse(text.strip(), mode="eval").body
        found: set[str] = set()
        truth = _Compiler(known, found).truth(root)
    except SyntaxError as error:
        where = f" at character {error.offset}" if error.offset else ""
        msg = f"{text!r} cannot be read{where}; {_ALLOWED}"
        raise ExpressionError(msg) from None
    except (MemoryError, RecursionError, OverflowError) as error:
        msg = f"{text!r} is too deep or holds a number that is too large ({type(error).__name__})"
        raise ExpressionError(msg) from None
    except ValueError as error:
        if isinstance(error, ExpressionError):
            raise
        msg = f"{text!r} cannot be read: {error}"
        raise ExpressionError(msg) from None
    if not found:
        msg = f"{text!r} names no figure, so it would always be the same"
        raise ExpressionError(msg)
    return Expression(text.strip(), frozenset(found), truth)


class _Compiler:
    # Turns allowed nodes into closures. None is "not known", and three-valued logic carries it (Kleene).
    def __init__(self, known: Collection[str], found: set[str]) -> None:
        self._known = known
        self._found = found

    def truth(self, node: ast.expr) -> _Truth:
        match node:
            case ast.BoolOp(op=ast.And()):
                return _all_of([self.truth(value) for value in node.values])
            case ast.BoolOp():
                parts = [_negated(self.truth(value)) for value in node.values]
                return _negated(_all_of(parts))
            case ast.UnaryOp(op=ast.Not()):
                return _negated(self.truth(node.operand))
            case ast.Compare():
                return self._comparison(node)
        if isinstance(node, ast.Name | ast.BinOp | ast.Constant):
            msg = f"{ast.unparse(node)!r} is no condition: compare it with something, as in avg_decision_time > 3000"
            raise ExpressionError(msg)
        raise _refused(node)

    def _comparison(self, node: ast.Compare) -> _Truth:
        for op in node.ops:
            if type(op) not in _COMPARISONS:
                raise _refused(node)
        numbers = [self.number(operand) for operand in (node.left, *node.comparators)]
        compares = [_COMPARISONS[type(op)] for op in node.ops]
        return _all_of([_compared(compare, a, b) for compare, a, b in zip(compares, numbers, numbers[1:], strict=False)])

    def number(self, node: ast.expr) -> _Number:
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and math.isfinite(float(value)):
                constant = float(value)
                return lambda _values: constant
            case ast.Name(id=name):
                return self._figure(name)
            case ast.UnaryOp(op=ast.USub()):
                return _calculated(operator.sub, lambda _values: 0.0, self.number(node.operand))
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                return _calculated(_ARITHMETIC[type(node.op)], self.number(node.left), self.number(node.right))
        raise _refused(node)

    def _figure(self, name: str) -> _Number:
        if name not in self._known:
            near = difflib.get_close_matches(name, list(self._known), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(self._known))}"
            msg = f"unknown name {name!r}; {hint}"
            raise ExpressionError(msg)
        self._found.add(name)
        return lambda values: values.get(name)


def _refused(node: ast.expr) -> ExpressionError:
    return ExpressionError(f"{ast.unparse(node)[:60]!r} is not allowed; {_ALLOWED}")


def _all_of(parts: list[_Truth]) -> _Truth:
    def truth(values: Values) -> bool | None:
        answers = [part(values) for part in parts]
        if False in answers:
            return False
        return None if None in answers else True

    return truth


def _negated(part: _Truth) -> _Truth:
    def truth(values: Values) -> bool | None:
        answer = part(values)
        return None if answer is None else not answer

    return truth


def _compared(compare: Callable[[float, float], bool], left: _Number, right: _Number) -> _Truth:
    def truth(values: Values) -> bool | None:
        a, b = left(values), right(values)
        return None if a is None or b is None else compare(a, b)

    return truth


def _calculated(calculate: Callable[[float, float], float], left: _Number, right: _Number) -> _Number:
    def number(values: Values) -> float | None:
        a, b = left(values), right(values)
        if a is None or b is None:
            return None
        try:
            result = calculate(a, b)
        except (ZeroDivisionError, OverflowError):
            return None
        return result if math.isfinite(result) else None

    return number
