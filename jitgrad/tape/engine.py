"""Walking a recorded graph backward. Nothing here recurses: graphs are as deep as programs are long."""

from __future__ import annotations

import numpy as np

from jitgrad.errors import DetachedError, GraphFreedError, ModifiedError, NotRecordedError, TapeError
from jitgrad.ops.rules import add
from jitgrad.tape.nodes import Leaf, Output, is_number, new_cell, touch
from jitgrad.tape.state import RECORD, state

# Why an array has no place in a graph; from OUTSIDE on, entering one would silently lose a derivative.
PLAIN, UNATTACHED, NULL, PAUSED, DETACHED, UNRECORDED, CUSTOM = range(7)

_REASONS = {
    PLAIN: "it was made from data and has no gradient attached: call attach_grad() on it, or compute it "
    "inside record() from an array that has one",
    UNATTACHED: "it was recorded, but none of the arrays it was computed from had a gradient attached at "
    "that time: call attach_grad() before record()",
    NULL: "it, or every attached array it was computed from, is attached with grad_req='null'",
    PAUSED: "it was computed inside pause(), so it is a constant",
    DETACHED: "detach() has cut it from its history: call backward() on the array that was detached",
    UNRECORDED: "it was computed outside record() from an attached or recorded array (a name bound anew, as "
    "in x = x - g, is a new array: write x -= g): compute it inside record(), or say with detach() or "
    "pause() that it is a constant",
    CUSTOM: "it was computed inside Function.forward, where nothing is recorded: save inputs and outputs "
    "with save_for_backward()",
}


def refuse(why: int, what: str) -> None:
    """Raise the error that says why an array has no place in a graph."""
    raise (DetachedError if why == DETACHED else NotRecordedError)(f"{what}: {_REASONS[why]}.")


def backward(heads, head_grads=None, retain_graph: bool = False) -> None:
    """Compute the gradient of the heads, summed, and put it into `.grad` of every attached array they depend
    on.

    Args:
        heads: a recorded array, or a list of them; one that is listed twice counts twice.
        head_grads: for each head an array of its shape and dtype, a number, or None for ones.
        retain_graph: keep the graph, so that it can be walked again.

    Raises:
        NotRecordedError, DetachedError, GraphFreedError, ModifiedError: says why a head has no derivative.
        ValueError, TypeError: a head gradient of the wrong shape or dtype; nothing has been changed then.
    """
    heads, _ = _as_list(heads, "heads")
    seeds = _seeds(heads, head_grads)
    walk = _Walk(heads, seeds, None)
    found = walk.run(None)
    for leaf in walk.unreached():
        found.setdefault(leaf, None)
    for leaf, g in found.items():
        _write(leaf, g)
    if not retain_graph:
        walk.free()


def grad(heads, variables, head_grads=None, retain_graph: bool | None = None, create_graph: bool = False):
    """The gradient of the heads, summed, by variables; `.grad` stays as it is.

    Args:
        heads: as for `backward`.
        variables: an attached array or a recorded intermediate one, or a list of them.
        head_grads: as for `backward`.
        retain_graph: by default what `create_graph` is.
        create_graph: record the computation of the gradient, so that it can be differentiated again.

    Returns:
        An array, or for a list of variables a list of arrays.

    Raises:
        NotRecordedError: a variable is not attached, or no head depends on it.
        ValueError: no variables, or `create_graph` without keeping the graph.
    """
    heads, _ = _as_list(heads, "heads")
    variables, single = _as_list(variables, "variables")
    retain_graph = create_graph if retain_graph is None else retain_graph
    if create_graph and not retain_graph:
        raise ValueError("create_graph=True needs the graph that retain_graph=False would free")
    for k, v in enumerate(variables):
        if v._node is None:
            refuse(v._why, f"can't differentiate by variable {k}")
        if v._cell[0] > v._node.time:
            raise ModifiedError(f"variable {k} was changed in place after it had been recorded")
    make = type(heads[0])
    seeds = _seeds(heads, head_grads)
    walk = _Walk(heads, seeds, make._wrap if create_graph else None)
    targets = {v._node for v in variables}
    known = walk.known()
    for k, v in enumerate(variables):
        if v._node not in known:
            raise NotRecordedError(f"can't differentiate by variable {k}: the heads do not depend on it")
    found = walk.run(targets)
    results = []
    for v in variables:
        g = found.get(v._node)
        g = np.zeros(v.shape, v.dtype) if g is None else g
        results.append(g if isinstance(g, make) else make(np.array(g)))
    if not retain_graph:
        walk.free()
    return results[0] if single else results


def _as_list(arrays, name: str) -> tuple[list, bool]:
    single = not isinstance(arrays, list | tuple)
    arrays = [arrays] if single else list(arrays)
    if not arrays:
        raise ValueError(f"no {name} given")
    for a in arrays:
        if not hasattr(type(a), "_wrap"):
            raise TypeError(f"{name} must be arrays of the tape, not {type(a).__name__}")
    return arrays, single


def _seeds(heads: list, head_grads) -> list:
    """The head gradients, checked, as plain or tape arrays."""
    if head_grads is None:
        head_grads = [None] * len(heads)
    elif len(heads) == 1 and not (
        isinstance(head_grads, list | tuple)
        and len(head_grads) == 1
        and np.shape(head_grads[0]) == heads[0].shape
        and heads[0].shape != (1,)
    ):
        head_grads = [head_grads]
    elif not isinstance(head_grads, list | tuple) or len(head_grads) != len(heads):
        raise ValueError(f"{len(heads)} heads need a list of {len(heads)} head gradients")
    return [_seed(h, u) for h, u in zip(heads, head_grads, strict=True)]


def _seed(head, u):
    shape, dtype = head.shape, head.dtype
    if dtype.kind != "f":
        return None  # an integer or boolean head has no derivative
    if u is None:
        return np.ones(shape, dtype)
    if is_number(u):
        return np.full(shape, u, dtype)
    if isinstance(u, list | tuple):
        try:
            u = np.array(u)
        except ValueError:
            raise ValueError(f"the head gradient is no array of shape {shape}") from None
        if u.dtype.kind in "if":
            u = u.astype(dtype)
    if not isinstance(u, np.ndarray | np.generic | type(head)):
        raise TypeError(f"a head gradient is an array or a number, not {type(u).__name__}")
    if u.dtype != dtype:
        raise TypeError(f"the head gradient has dtype {u.dtype}, its head {dtype}")
    if u.shape and u.shape != shape:
        raise ValueError(f"the head gradient has shape {u.shape}, its head {shape}")
    if u.shape != shape:
        return np.broadcast_to(u, shape)
    return u


class _Walk:
    """One pass over the part of the graph that the heads depend on."""

    def __init__(self, heads: list, seeds: list, wrap):
        self.heads = heads
        self.seeds = seeds
        self.wrap = wrap
        for k, head in enumerate(heads):
            node = head._node
            what = "can't differentiate this array" if len(heads) == 1 else f"can't differentiate head {k}"
            if node is None:
                refuse(head._why, what)
            if node.saved is None:
                raise GraphFreedError(_FREED)
            if head._cell[0] > node.time:
                raise ModifiedError(f"{what}: it was changed in place after it had been recorded")
        self.order, self.cuts = _order([h._node for h in heads])

    def run(self, targets: set | None) -> dict:
        """Cotangents of the leaves, or of the targets; with `wrap`, recorded."""
        before, recording = state.mode, self.wrap is not None
        if recording:
            state.mode = RECORD
        try:
            return self._run(targets)
        finally:
            state.mode = before

    def _run(self, targets):
        wrap, needed = self.wrap, self._needed(targets)
        bars: dict = {}
        masks: set = set()
        for head, seed in zip(self.heads, self.seeds, strict=True):
            if head._node.flows and seed is not None:
                plain = seed if isinstance(seed, np.ndarray | np.generic) else seed._data
                if wrap is None:
                    seed = plain
                elif seed is plain:
                    seed = wrap(plain, None, new_cell())
                bars[head._node] = add(bars.get(head._node), seed)
        found: dict = {}
        for node in self.order:
            g = bars.pop(node, None)
            if targets is not None and node in targets:
                found[node] = g
            if g is None:
                continue
            kind = type(node)
            if kind is Leaf:
                if targets is None:
                    found[node] = add(found.get(node), g)
                continue
            if targets is None and node.watch is not None:
                found[node.watch] = add(found.get(node.watch), g)
            parents = node.parents
            if kind is Output:
                parts = bars.setdefault(parents[0], {})
                parts[node.index] = add(parts.get(node.index), g)
                continue
            wanted = [p is not None and p.flows if needed is None else p in needed for p in parents]
            if True not in wanted:
                continue
            results, masked = node.pull(g, wanted, node in masks, wrap)
            for parent, bar in zip(parents, results, strict=True):
                if bar is not None and parent is not None:
                    old = bars.get(parent)
                    bars[parent] = bar if old is None else old + bar
                    if masked:
                        masks.add(parent)
        return found

    def _needed(self, targets: set | None) -> set | None:
        """The nodes through which a derivative reaches a target."""
        if targets is None:
            return None
        needed = set(targets)
        for node in reversed(self.order):
            if any(p in needed for p in node.parents):
                needed.add(node)
        return needed

    def unreached(self) -> list:
        """Leaves that the heads depend on only through operations without derivative."""
        seen, stack, leaves = set(self.order), list(self.cuts), []
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if type(node) is Leaf:
                leaves.append(node)
            stack.extend(p for p in node.parents if p is not None)
        return leaves + [n for n in self.order if type(n) is Leaf]

    def known(self) -> set:
        """Everything that the heads depend on."""
        seen, stack = set(self.order), list(self.cuts)
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack.extend(p for p in node.parents if p is not None)
        return seen

    def free(self) -> None:
        """Let go of what was kept, up to operations without derivative: what lies behind those stays."""
        for node in self.order:
            if type(node) is not Leaf:
                node.saved = None
                node.parents = ()
        for node in self.cuts:
            node.parents = ()


_FREED = (
    "the graph of this array, or a part of it that another array shares, was freed by an earlier backward() "
    "or grad(): pass retain_graph=True to all but the last, or record it again"
)


def _order(heads: list) -> tuple[list, list]:
    """Nodes that a derivative reaches, each before its parents; and those where it ends."""
    edges: dict = {}
    cuts: dict = {}
    for node in heads:
        if node.flows:
            edges[node] = 0
        else:
            cuts[node] = True
    stack = list(edges)
    while stack:
        node = stack.pop()
        if node.saved is None:
            raise GraphFreedError(_FREED)
        for parent in node.parents:
            if parent is None:
                continue
            if not parent.flows:
                cuts[parent] = True
                continue
            count = edges.get(parent)
            if count is None:
                edges[parent] = 1
                stack.append(parent)
            else:
                edges[parent] = count + 1
    ready = [node for node, count in edges.items() if not count]
    order = []
    while ready:
        node = ready.pop()
        order.append(node)
        for parent in node.parents:
            if parent is not None and parent.flows:
                edges[parent] -= 1
                if not edges[parent]:
                    ready.append(parent)
    return order, list(cuts)


def _write(leaf: Leaf, g) -> None:
    """Put a gradient into a leaf's buffer, in place: whoever holds `x.grad` sees it."""
    buffer = leaf.grad._data
    if g is None:
        if leaf.req == "write":
            buffer[...] = 0
    elif g.shape != buffer.shape:
        raise TapeError(f"a derivative rule gave shape {g.shape} for an array of shape {buffer.shape}")
    elif leaf.req == "write":
        np.copyto(buffer, g)
    else:
        np.add(buffer, g, out=buffer)
    touch(leaf.grad._cell)
