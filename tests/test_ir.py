"""Values, nodes, blocks: the verifier catches broken ones, the text tells them apart, substitution renames all."""

import numpy as np
import pytest

from jitgrad.ir.graph import Block, Const, Loc, Node, Value, substitute, used
from jitgrad.ir.text import block_text
from jitgrad.ir.types import BOOL, FLOAT32, FLOAT64, INT64, Type, scalar_type
from jitgrad.ir.verify import VerifyError, verify
from jitgrad.ops.flow import for_
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.shape import axis_length

ADD, SIN = UFUNCS[np.add], UFUNCS[np.sin]


def vector(name="x"):
    """A param of one axis, and the node that says how long it is."""
    value = Value(Type(FLOAT64, (1,)), name)
    n = Value(Type(INT64, (), weak=True), f"{name}_n")
    value.type = Type(FLOAT64, (n,))
    return value, Node(axis_length, (value,), (n,), {"axis": 0})


def simple():
    x, length = vector()
    y = Value(x.type, "y")
    z = Value(x.type, "z")
    nodes = [length, Node(SIN, (x,), (y,)), Node(ADD, (y, Const.of(2.0)), (z,))]
    return Block((x,), nodes, (z,), "f")


def test_a_good_block_comes_back():
    block = simple()
    assert verify(block) is block


def test_use_before_definition():
    block = simple()
    block.nodes[1], block.nodes[2] = block.nodes[2], block.nodes[1]
    with pytest.raises(VerifyError, match="used before it is defined"):
        verify(block, "shuffle")
    with pytest.raises(VerifyError, match="after shuffle"):
        verify(block, "shuffle")
    with pytest.raises(VerifyError, match="used before it is defined"):
        verify(block, nested=True)


def test_undefined_result():
    block = simple()
    block.results = (Value(Type(FLOAT64)),)
    with pytest.raises(VerifyError, match="used before it is defined"):
        verify(block)


def test_nested_blocks_read_values_around_them():
    outer = Value(Type(FLOAT64), "outer")
    z = Value(Type(FLOAT64), "z")
    block = Block((), [Node(SIN, (outer,), (z,))], (z,))
    assert verify(block, nested=True) is block
    with pytest.raises(VerifyError, match="used before it is defined"):
        verify(block)


def test_defined_twice():
    block = simple()
    block.nodes.append(block.nodes[1])
    with pytest.raises(VerifyError, match="defined twice"):
        verify(block)


def test_neither_value_nor_constant():
    block = simple()
    block.nodes.append(Node(SIN, (3.0,), (Value(Type(FLOAT64)),)))
    with pytest.raises(VerifyError, match="neither a value nor a constant"):
        verify(block)


def test_constant_with_axes():
    block = simple()
    block.nodes.append(Node(SIN, (Const(1.0, Type(FLOAT64, (3,))),), (Value(Type(FLOAT64)),)))
    with pytest.raises(VerifyError, match="constant has axes"):
        verify(block)


def test_a_length_that_is_no_integer():
    block = simple()
    wrong = Value(Type(FLOAT64), "n")
    block.nodes.append(Node(SIN, (block.params[0],), (Value(Type(FLOAT64, (wrong,))),)))
    with pytest.raises(VerifyError, match="no int64 number"):
        verify(block)


def test_regions_see_outer_values_but_not_the_other_way_round():
    x, length = vector()
    i, carry, inner, total = (Value(Type(t)) for t in (INT64, FLOAT64, FLOAT64, FLOAT64))
    region = Block((i, carry), [Node(ADD, (carry, i), (inner,))], (inner,))
    loop = Node(for_, (length.out, Const.of(0.0)), (total,), {}, (region,))
    verify(Block((x,), [length, loop], (total,)))
    with pytest.raises(VerifyError, match="used before it is defined"):
        verify(Block((x,), [length, loop], (inner,)))
    assert set(used(loop)) >= {length.out, carry, i}


def test_constants():
    assert Const.of(0.0) != Const.of(-0.0)
    assert Const.of(float("nan")) == Const.of(float("nan"))
    assert Const.of(1) != Const.of(1.0)
    assert Const.of(1) != Const.of(True)
    assert Const.of(1.0) != Const.of(np.float64(1.0))  # a Python float is weak
    assert Const.of(2) == Const.of(2)
    assert len({Const.of(2), Const.of(2), Const.of(2.0)}) == 2


@pytest.mark.parametrize(
    ("value", "type"),
    [(1, Type(INT64, (), True)), (1.0, Type(FLOAT64, (), True)), (True, Type(BOOL)), (np.float32(1), Type(FLOAT32)),
     (np.float64(1), Type(FLOAT64)), (np.bool_(True), Type(BOOL))],
)  # fmt: skip
def test_types_of_scalars(value, type):
    assert scalar_type(value) == type


def test_what_is_no_number_has_no_type():
    with pytest.raises(TypeError, match="str"):
        scalar_type("x")


def test_substitution_renames_values_and_their_lengths():
    block = simple()
    env = {}
    copy = substitute(block, env)
    verify(copy)
    old = {v for node in block.nodes for v in node.outs} | set(block.params)
    new = {v for node in copy.nodes for v in node.outs} | set(copy.params)
    assert not old & new
    assert copy.results[0].type.shape[0] is copy.nodes[0].out
    assert env[block.results[0]] is copy.results[0]
    assert block_text(copy) == block_text(block)
    verify(block)


def test_substituting_a_param():
    block = simple()
    x, _ = vector("w")
    copy = substitute(block, {block.params[0]: x})
    assert copy.params == (x,)
    assert copy.nodes[0].args == (x,)
    verify(Block((x,), copy.nodes, copy.results))


def test_text():
    text = block_text(simple())
    assert text.startswith("f(x: float64[x_n]):\n")
    assert "y: float64[x_n] = sin(x)" in text
    assert text.endswith("return z")
    assert block_text(simple()) == text


def test_locations_point_at_the_line():
    loc = Loc("file.py", 3, 4, 3, 9, "    x + y", "f")
    assert loc.syntax_location() == ("file.py", 3, 5, "    x + y", 3, 10)
    assert str(loc) == 'File "file.py", line 3: x + y'
