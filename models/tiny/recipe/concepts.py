"""Concepts of a real function, found by analysing its syntax tree: what the small world's S->C examples answer."""

import ast

from operations import OPS

# From specific to common: a function is described by the first few that it has.
_METHODS = {
    "string joining": {"join"},
    "string splitting": {"split", "rsplit", "splitlines", "partition", "rpartition"},
    "case conversion": {"lower", "upper", "title", "capitalize", "casefold", "swapcase"},
    "replacement": {"replace", "translate", "sub"},
    "string methods": {"startswith", "endswith", "strip", "lstrip", "rstrip", "find", "rfind", "isdigit", "isalpha", "encode", "decode"},
    "counting": {"count"},
    "dictionary lookup": {"get", "setdefault", "keys", "values", "items"},
}
_CALLS = {
    "sorting": {"sorted", "sort"},
    "reversal": {"reversed", "reverse"},
    "summation": {"sum"},
    "minimum and maximum": {"min", "max"},
    "absolute value": {"abs"},
    "ranges": {"range"},
    "iteration": {"enumerate", "zip", "iter", "next"},
    "boolean logic": {"any", "all"},
    "length": {"len"},
    "type checking": {"isinstance", "issubclass", "callable", "type"},
    "type conversion": {"int", "float", "str", "list", "tuple", "bytes", "bool"},
    "deduplication": {"set", "frozenset"},
    "mapping": {"map"},
    "filtering": {"filter"},
    "attribute access": {"getattr", "setattr", "hasattr"},
}
ORDER = (
    "recursion", "generators", "regular expressions", "deduplication", "sorting", "reversal", "summation", "minimum and maximum",
    "absolute value", "string joining", "string splitting", "case conversion", "replacement", "filtering", "mapping", "list comprehension",
    "modular arithmetic", "slicing", "membership test", "counting", "ranges", "exception handling", "type checking", "dictionary lookup",
    "string methods", "string formatting", "attribute access", "type conversion", "length", "boolean logic", "arithmetic",
    "comparison", "concatenation", "loops", "iteration", "aggregation", "conditional logic", "indexing", "function calls",
)  # fmt: skip
VOCABULARY = tuple(dict.fromkeys([*ORDER, *(concept for op in OPS for concept in op.concepts)]))
MOST = 5


def find_concepts(source: str) -> list[str]:
    """Up to five concepts of a function's source, most specific first. Raises SyntaxError if it does not parse."""
    found: set[str] = set()
    tree = ast.parse(source)
    name = getattr(tree.body[0], "name", "")
    for node in ast.walk(tree):
        found.update(_of_node(node, name))
    return [concept for concept in ORDER if concept in found][:MOST]


def _of_node(node: ast.AST, function: str) -> set[str]:
    match node:
        case ast.Call(func=ast.Name(id=called)):
            return (
                {concept for concept, names in _CALLS.items() if called in names}
                | ({"recursion"} if called == function else set())
                | {"function calls"}
            )
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"))):
            return {"regular expressions"}
        case ast.Call(func=ast.Attribute(attr=method)):
            return {concept for concept, names in {**_METHODS, **_CALLS}.items() if method in names} | {"function calls"}
        case ast.ListComp(generators=[ast.comprehension(ifs=ifs)]) | ast.GeneratorExp(generators=[ast.comprehension(ifs=ifs)]):
            return {"list comprehension", "filtering"} if ifs else {"list comprehension", "mapping"}
        case ast.Yield() | ast.YieldFrom():
            return {"generators"}
        case ast.Try():
            return {"exception handling"}
        case ast.For() | ast.While():
            return {"loops"}
        case ast.If() | ast.IfExp():
            return {"conditional logic"}
        case ast.BoolOp():
            return {"boolean logic"}
        case ast.Subscript(slice=ast.Slice()):
            return {"slicing"}
        case ast.Subscript():
            return {"indexing"}
        case ast.JoinedStr():
            return {"string formatting"}
        case ast.BinOp(op=ast.Mod(), left=ast.Constant(value=str())):
            return {"string formatting"}
        case ast.BinOp(op=ast.Mod()):
            return {"modular arithmetic"}
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.FloorDiv() | ast.Pow()):
            return {"arithmetic"}
        case ast.Compare(ops=ops) if any(isinstance(op, (ast.In, ast.NotIn)) for op in ops):
            return {"membership test"}
        case ast.Compare():
            return {"comparison"}
    return set()
