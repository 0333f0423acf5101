"""What makes an object behave like an array in NumPy code: operators, methods and NumPy's two protocols.

Shared by the symbolic values of a trace and by the arrays of the tape.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ops.registry import FUNCTIONS, METHODS, UFUNCS, misfit, special


def _binary(ufunc: np.ufunc):
    def forward(self, other):
        return self._operate(ufunc, self, other)

    def backward(self, other):
        return self._operate(ufunc, other, self)

    return forward, backward


class ArrayLike:
    """Operators and NumPy's protocols over the operation table.

    A subclass defines `__jitgrad_bind__(op, args, attrs)`, `_unsupported(name)`, `shape` and `dtype`.
    """

    __slots__ = ()

    def _operate(self, ufunc, *args):
        """One of Python's operators; subclasses may add what operators do and ufuncs don't."""
        if any(isinstance(a, str | list | tuple | dict | type(None)) for a in args):
            if any(isinstance(a, list | tuple) for a in args):
                args = tuple(np.asarray(a) if isinstance(a, list | tuple) else a for a in args)
            else:
                return NotImplemented
        return UFUNCS[ufunc](*args)

    __add__, __radd__ = _binary(np.add)
    __sub__, __rsub__ = _binary(np.subtract)
    __mul__, __rmul__ = _binary(np.multiply)
    __truediv__, __rtruediv__ = _binary(np.true_divide)
    __floordiv__, __rfloordiv__ = _binary(np.floor_divide)
    __mod__, __rmod__ = _binary(np.remainder)
    __pow__, __rpow__ = _binary(np.power)
    __matmul__, __rmatmul__ = _binary(np.matmul)
    __and__, __rand__ = _binary(np.bitwise_and)
    __or__, __ror__ = _binary(np.bitwise_or)
    __xor__, __rxor__ = _binary(np.bitwise_xor)
    __lshift__, __rlshift__ = _binary(np.left_shift)
    __rshift__, __rrshift__ = _binary(np.right_shift)
    __eq__, _ = _binary(np.equal)
    __ne__, _ = _binary(np.not_equal)
    __lt__, _ = _binary(np.less)
    __le__, _ = _binary(np.less_equal)
    __gt__, _ = _binary(np.greater)
    __ge__, _ = _binary(np.greater_equal)
    __hash__ = None

    def __neg__(self):
        return self._operate(np.negative, self)

    def __pos__(self):
        return self._operate(np.positive, self)

    def __abs__(self):
        return self._operate(np.absolute, self)

    def __invert__(self):
        return self._operate(np.invert, self)

    def __divmod__(self, other):
        return self // other, self % other

    def __rdivmod__(self, other):
        return other // self, other % self

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, where=True, dtype=None, **kwargs):
        if method != "__call__":
            return self._ufunc_method(ufunc, method, inputs, kwargs)
        op = UFUNCS.get(ufunc) or special(ufunc)
        if op is None or kwargs:
            name = f"np.{ufunc.__name__}" if getattr(np, ufunc.__name__, None) is ufunc else ufunc.__name__
            self._unsupported(name + (f" with {', '.join(kwargs)}=" if kwargs else ""))
        if out is not None or where is not True:
            self._unsupported(f"np.{ufunc.__name__} with {'out' if out is not None else 'where'}=")
        result = op(*inputs)
        return result if dtype is None else METHODS["astype"](result, dtype)

    def _ufunc_method(self, ufunc, method, inputs, kwargs):
        """`np.add.reduce(x)` and the like, for the ufuncs whose reduction has a name."""
        names = {np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min,
                 np.logical_and: np.all, np.logical_or: np.any}  # fmt: skip
        if method == "reduce" and ufunc in names:
            kwargs.setdefault("axis", 0)
            if len(inputs) > 1:
                kwargs["axis"] = inputs[1]
            kwargs = {k: v for k, v in kwargs.items() if k in ("axis", "keepdims")}
            return FUNCTIONS[names[ufunc]](inputs[0], **kwargs)
        if method == "accumulate" and ufunc is np.add:
            return FUNCTIONS[np.cumsum](inputs[0], axis=kwargs.get("axis", 0))
        if method == "outer" and ufunc in UFUNCS:
            a, b = inputs
            ones = (1,) * len(np.shape(b))
            return UFUNCS[ufunc](FUNCTIONS[np.reshape](a, tuple(np.shape(a)) + ones), b)
        self._unsupported(f"np.{ufunc.__name__}.{method}")

    def __array_function__(self, function, types, args, kwargs):
        implementation = FUNCTIONS.get(function)
        if implementation is None:
            self._unsupported(numpy_name(function))
        unknown = misfit(implementation, args, kwargs) if kwargs else None
        if unknown is not None:
            self._unsupported(f"{numpy_name(function)} with {unknown}")
        return implementation(*args, **kwargs)

    def __getattr__(self, name: str):
        method = METHODS.get(name)
        if method is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return lambda *args, **kwargs: method(self, *args, **kwargs)

    def __getitem__(self, index):
        return METHODS["__getitem__"](self, index)

    @property
    def T(self):
        return METHODS["transpose"](self)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self):
        return METHODS["size"](self)

    @property
    def flat(self):
        self._unsupported("ndarray.flat")

    def __len__(self):
        return self.shape[0]


def numpy_name(function) -> str:
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module.replace('numpy', 'np', 1)}.{getattr(function, '__name__', function)}"
