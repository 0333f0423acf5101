"""An eager engine with the semantics of MXNet's autograd, over the same operation table as the compiler.

Operations on `Array`s run at once, in NumPy; inside `with record():` they are also written down, and
`backward` walks what was written down. It is the baseline of the benchmarks, and the engine to debug with:
every value is there to print.

    >>> import numpy as np
    >>> from jitgrad import tape
    >>> x = tape.arange(4)
    >>> x.attach_grad()
    >>> with tape.record():
    ...     y = 2 * np.dot(x, x)
    >>> y.backward()
    >>> x.grad
    tape.array([ 0.,  4.,  8., 12.])

What is decided here, where MXNet leaves it open or is silently wrong:

- `detach()` copies; nothing written to the copy shows in the source, nor the other way round.
- `attach_grad()` again on the same array keeps its place in older graphs and sets its gradient to zeros; on
  an intermediate value, graphs recorded before still reach what is behind it, and fill its gradient too.
- A leaf that a head does not depend on keeps the gradient it has (`l1.backward(); l2.backward()` with
  different parameters must leave both); a leaf reached only through `stop_gradient`, a comparison or the like
  gets zeros.
- Array values that leave as numbers (`item`, `asnumpy`, `bool`) are constants. `float(x)` and `np.asarray(x)`
  on a recorded value raise inside `record()`, since a `math.sin(x)` would lose its derivative silently.
- A value computed outside `record()` from an attached array can't enter a graph unnoticed: detach it, or
  compute it inside `pause()`, which says that it is meant to be a constant.
- A write in place is seen by whoever has to read the old value: `ModifiedError`, never a wrong number.
- Recording is a property of the thread; a generator that yields inside `record()` leaves it on in its caller.
"""

from jitgrad.tape.array import Array
from jitgrad.tape.create import arange, array, mark_variables, ones, stop_gradient, zero_grad, zeros
from jitgrad.tape.engine import backward, grad
from jitgrad.tape.function import Function
from jitgrad.tape.state import (
    is_recording,
    is_training,
    pause,
    predict_mode,
    record,
    set_recording,
    set_training,
    train_mode,
)

__all__ = [
    "Array",
    "Function",
    "arange",
    "array",
    "backward",
    "grad",
    "is_recording",
    "is_training",
    "mark_variables",
    "ones",
    "pause",
    "predict_mode",
    "record",
    "set_recording",
    "set_training",
    "stop_gradient",
    "train_mode",
    "zero_grad",
    "zeros",
]
