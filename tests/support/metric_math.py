"""CloudWatch's metric math, as far as infra's templates use it: IF, comparisons, sums, numbers and names of metrics.

Pure. What it does not know it refuses, so that no expression is played as something else than CloudWatch makes of it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping


def value_of(expression: str, metrics: Mapping[str, float]) -> float:
    """One point of the series, from one point of each metric."""
    return _value(ast.parse(expression, mode="eval").body, metrics)


def _value(node: ast.expr, metrics: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return metrics[name]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _value(left, metrics) + _value(right, metrics)
        case ast.Compare(left=left, ops=[ast.Gt()], comparators=[right]):
            return float(_value(left, metrics) > _value(right, metrics))
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise], keywords=[]):
            return _value(then if _value(condition, metrics) else otherwise, metrics)
    raise AssertionError(f"not known here: {ast.unparse(node)}")
