"""Arguments to parameters, by Python's rules."""

from __future__ import annotations

import ast
import inspect


def bind_arguments(
    frame, a: ast.arguments, name: str, args: tuple, kwargs: dict, n_defaults: int, kw_defaults, default
):
    """Put arguments into the frame's variables, or raise Python's `TypeError`."""
    variables = frame.vars
    positional = [p.arg for p in (*a.posonlyargs, *a.args)]
    variables.update(zip(positional, args, strict=False))
    if len(args) > len(positional) and a.vararg is None:
        raise TypeError(f"{name}() takes {len(positional)} positional arguments but {len(args)} were given")
    if a.vararg is not None:
        variables[a.vararg.arg] = tuple(args[len(positional) :])
    by_name = {p.arg for p in (*a.args, *a.kwonlyargs)}
    extra = {}
    for key, value in kwargs.items():
        if key not in by_name:
            extra[key] = value
        elif key in variables and key in positional:
            raise TypeError(f"{name}() got multiple values for argument {key!r}")
        else:
            variables[key] = value
    if a.kwarg is not None:
        variables[a.kwarg.arg] = extra
    elif extra:
        raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(extra))!r}")
    missing = []
    for k, parameter in enumerate(positional):
        if parameter not in variables:
            place = k - (len(positional) - n_defaults)
            if place < 0:
                missing.append(parameter)
            else:
                variables[parameter] = default(place)
    for p in a.kwonlyargs:
        if p.arg not in variables:
            if p.arg in kw_defaults:
                variables[p.arg] = default(p.arg)
            else:
                missing.append(p.arg)
    if missing:
        raise TypeError(f"{name}() missing {len(missing)} required argument(s): {', '.join(map(repr, missing))}")


def signature(a: ast.arguments, defaults: tuple, kw_defaults: dict) -> inspect.Signature:
    P, empty = inspect.Parameter, inspect.Parameter.empty
    positional = [
        *((p, P.POSITIONAL_ONLY) for p in a.posonlyargs),
        *((p, P.POSITIONAL_OR_KEYWORD) for p in a.args),
    ]
    values = (empty,) * (len(positional) - len(defaults)) + defaults
    parameters = [P(p.arg, kind, default=d) for (p, kind), d in zip(positional, values, strict=True)]
    if a.vararg is not None:
        parameters.append(P(a.vararg.arg, P.VAR_POSITIONAL))
    parameters += [P(p.arg, P.KEYWORD_ONLY, default=kw_defaults.get(p.arg, empty)) for p in a.kwonlyargs]
    if a.kwarg is not None:
        parameters.append(P(a.kwarg.arg, P.VAR_KEYWORD))
    return inspect.Signature(parameters)
