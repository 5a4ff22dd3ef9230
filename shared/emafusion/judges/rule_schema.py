"""Checks of JSON values against a schema, and of tool calls against the tools on offer."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from emafusion.answers.callsyntax import FunctionCall
from emafusion.answers.toolspecs import ToolSpec, name_key

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (Mapping,),
    "dict": (Mapping,),
    "hashmap": (Mapping,),
    "array": (list, tuple),
    "list": (list, tuple),
    "arraylist": (list, tuple),
    "tuple": (list, tuple),
    "string": (str,),
    "str": (str,),
    "integer": (int,),
    "int": (int,),
    "long": (int,),
    "number": (int, float),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "bool": (bool,),
    "null": (type(None),),
}
MAX_DEPTH = 30


def schema_problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a value, or None.

    Uses the `jsonschema` package when it is installed. Otherwise type, required, properties, items, enum and const are
    checked, and other keywords are not.
    """
    try:
        jsonschema = importlib.import_module("jsonschema")
    except ImportError:
        return structure_problem(value, schema)
    try:
        error = next(iter(jsonschema.validators.validator_for(schema)(schema).iter_errors(value)), None)
    except Exception:  # the schema itself is odd (unresolvable reference, unknown type): fall back on the structure
        return structure_problem(value, schema)
    if error is None:
        return None
    where = "/".join(map(str, error.absolute_path)) or "the top level"
    return f"at {where}: {error.message[:160]}"


def structure_problem(value: Any, schema: Any, where: str = "the top level", depth: int = 0) -> str | None:
    """Check type, required, properties, items, enum and const; unknown types and keywords pass."""
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return None
    problem = _type_problem(value, schema.get("type"), where)
    if problem:
        return problem
    allowed = schema.get("enum")
    if isinstance(allowed, Sequence) and not isinstance(allowed, str) and allowed and value not in allowed:
        return f"at {where}: {str(value)[:40]!r} is none of {str(list(allowed))[:100]}"
    if "const" in schema and value != schema["const"]:
        return f"at {where}: expected {schema['const']!r}"
    properties = schema.get("properties")
    if isinstance(value, Mapping) and isinstance(properties, Mapping):
        required = schema.get("required")
        for name in required if isinstance(required, Sequence) else ():
            if name not in value:
                return f"at {where}: {name!r} is missing"
        if schema.get("additionalProperties") is False and (extra := [k for k in value if k not in properties]):
            return f"at {where}: {extra[0]!r} is not allowed"
        parts = ((value[k], properties[k], f"{where}/{k}") for k in value if k in properties)
    elif isinstance(value, (list, tuple)) and isinstance(schema.get("items"), Mapping):
        parts = ((item, schema["items"], f"{where}/{i}") for i, item in enumerate(value))
    else:
        return None
    return next((p for v, s, w in parts if (p := structure_problem(v, s, w, depth + 1))), None)


def _type_problem(value: Any, declared: Any, where: str) -> str | None:
    names = [declared] if isinstance(declared, str) else list(declared) if isinstance(declared, (list, tuple)) else []
    accepted = [_TYPES.get(str(name).casefold()) for name in names]
    if not names or None in accepted:
        return None
    for name, types in zip(names, accepted):
        if isinstance(value, bool) and str(name).casefold() not in ("boolean", "bool"):
            continue
        if isinstance(value, float) and value.is_integer() and str(name).casefold() == "integer":
            return None
        if isinstance(value, types or ()):
            return None
    return f"at {where}: expected {' or '.join(map(str, names))}, got {type(value).__name__}"


def call_problem(calls: Iterable[FunctionCall], specs: Mapping[str, ToolSpec]) -> tuple[str, bool] | None:
    """Return what is wrong with a set of calls and whether they cannot be run for it, or None.

    An unknown tool, a missing or an unknown argument cannot be run; an argument of the wrong type may be coerced.
    """
    soft: str | None = None
    for name, arguments in calls:
        spec = specs.get(name_key(name))
        if spec is None:
            return f"no tool is called {name[:60]!r}", True
        given = {
            spec.parameters[int(k)] if k.isdigit() and int(k) < len(spec.parameters) else k: v
            for k, v in arguments.items()
        }
        missing = sorted(spec.required - given.keys())
        if missing:
            return f"{name[:60]}: the required argument {missing[0]!r} is missing", True
        unknown = sorted(given.keys() - set(spec.parameters))
        if unknown and spec.parameters:
            return f"{name[:60]}: it takes no argument {unknown[0][:60]!r}", True
        for key, value in given.items():
            optional_null = value is None and key not in spec.required
            problem = None if optional_null else structure_problem(value, spec.schemas.get(key), f"{name[:60]}.{key}")
            soft = soft or problem
    return None if soft is None else (soft, False)
