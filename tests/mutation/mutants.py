"""Small faults to put into a module, one at a time: what a mutation run tries.

Each mutant replaces one node of the syntax tree where it stands, so that the rest of the file
keeps its lines. Left alone: docstrings, annotations, imports for type checkers, and the words of
messages (what is inside of a `raise`; that it raises at all is tried).
"""

from __future__ import annotations

import ast
import copy
import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHERS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DELETED = (
    *(ast.Assign, ast.AugAssign, ast.Expr, ast.Delete),
    *(ast.Raise, ast.Return, ast.Continue, ast.Break),
)
_TESTED = (ast.If, ast.While, ast.IfExp)

Replaced: TypeAlias = "ast.expr | ast.stmt"


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        line: where it begins, from 1.
        scope: the function or class that it stands in, as `Class.method`; empty in the module.
        before: the lines of the file that change, without indentation.
        after: what they become.
        source: the whole file with the fault in it.
    """

    line: int
    scope: str
    before: str
    after: str
    source: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What names this mutant in the list of equivalent ones, wherever the lines move."""
        return self.scope, self.before, self.after


def mutants_of(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module's `source`, in the order of its lines."""
    lines = source.splitlines(keepends=True)
    for scope, node, replacement in _replacements(ast.parse(source), ""):
        text = ast.unparse(replacement)
        if isinstance(node, ast.expr):
            text = f"({text})"
        mutated = _spliced(lines, node, text)
        before, after = _difference(source, mutated)
        yield Mutant(node.lineno, scope, before, after, mutated)


def _replacements(node: ast.AST, scope: str) -> Iterator[tuple[str, Replaced, Replaced]]:
    for name, child in _looked_at(node):
        inner = scope
        if isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
            inner = f"{scope}.{child.name}".lstrip(".")
        if isinstance(child, ast.stmt):
            yield from ((inner, child, other) for other in _statements(child, node))
        if isinstance(child, ast.expr):
            yield from ((inner, child, other) for other in _expressions(child))
            if name == "test" and isinstance(node, _TESTED):
                yield from ((inner, child, ast.Constant(value)) for value in (True, False))
        if not isinstance(child, ast.Raise):
            yield from _replacements(child, inner)


def _looked_at(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the children in which a fault would change what the program does."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.arg)):
        return
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_text(child):
                yield name, child


def _is_text(node: ast.AST) -> bool:
    # Docstrings, and whatever else stands alone as a constant.
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _statements(node: ast.stmt, parent: ast.AST) -> Iterator[ast.stmt]:
    if isinstance(node, ast.Return) and node.value and ast.unparse(node.value) != "None":
        yield ast.Return(ast.Constant(None))
    declares = isinstance(parent, (ast.Module, ast.ClassDef))
    # A last `return` left out is the `return None` above.
    ends = isinstance(node, ast.Return) and isinstance(parent, _FUNCTIONS)
    if isinstance(node, _DELETED) and not declares and not ends:
        yield ast.Pass()
    if isinstance(node, ast.AugAssign):
        yield from _with_operator(node, "op")


def _expressions(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in _other_constants(node.value))
    elif isinstance(node, (ast.BinOp, ast.BoolOp)):
        yield from _with_operator(node, "op")
    elif isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            for other in _OTHERS[type(operator)]:
                mutated = copy.deepcopy(node)
                mutated.ops[index] = other()  # type: ignore[call-overload]
                yield mutated
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    if isinstance(node, ast.BoolOp):
        for index in range(len(node.values)):
            mutated_values = [value for at, value in enumerate(node.values) if at != index]
            yield (
                mutated_values[0]
                if len(mutated_values) == 1
                else ast.BoolOp(node.op, mutated_values)
            )


def _with_operator(node: ast.AST, field: str) -> Iterator[ast.AST]:
    for other in _OTHERS.get(type(getattr(node, field)), ()):
        mutated = copy.deepcopy(node)
        setattr(mutated, field, other())
        yield mutated


def _other_constants(value: object) -> tuple[object, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, (int, float)):
        return (value + 1, value - 1)
    if isinstance(value, bytes):
        return (value + b"x",)
    return ()


def _spliced(lines: list[str], node: Replaced, text: str) -> str:
    """Return the file with `text` where `node` stands; offsets count UTF-8 bytes."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    head = lines[first].encode()[: node.col_offset].decode()
    tail = lines[last].encode()[node.end_col_offset :].decode()
    return "".join([*lines[:first], head, text, tail, *lines[last + 1 :]])


def _difference(before: str, after: str) -> tuple[str, str]:
    """Return the lines that differ, without indentation."""
    old, new = before.splitlines(), after.splitlines()
    removed, added = [], []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, low, high, new_low, new_high in matcher.get_opcodes():
        if tag != "equal":
            removed += [line.strip() for line in old[low:high]]
            added += [line.strip() for line in new[new_low:new_high]]
    return "\n".join(removed), "\n".join(added)
