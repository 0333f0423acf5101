"""What the functions of the corpus are fed with, by the names of their arguments; and differences to compare with."""

import inspect

import corpus
import numpy as np

from jitgrad.api.structure import flatten, unflatten, without_statics

SHAPES = {
    **dict.fromkeys("abc", ()),
    **dict.fromkeys("xyzuvw", (5,)),
    **dict.fromkeys("ABP", (3, 4)),
    **dict.fromkeys("CD", (4, 3)),
    **dict.fromkeys("SQ", (4, 4)),
    **dict.fromkeys("TR", (2, 3, 4)),
    "U": (2, 4, 5),
    "o": (5, 1),
    "r": (1, 5),
    "e": (0,),
    "E": (0, 3),
    "q": (1,),
}
POSITIVE = "uvwP"


def functions() -> dict:
    """The functions of the corpus by name."""
    found = {}
    for name, value in vars(corpus).items():
        if inspect.isfunction(value) and value.__module__ == "corpus" and name != "log_sum":
            found[name] = value
    return found


def arguments(function, dtype=np.float64) -> tuple:
    """Arguments for a function, the same for each call."""
    rng = np.random.default_rng(abs(hash_of(function.__name__)))
    names = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    return tuple(feed(name, rng, np.dtype(dtype)) for name in names)


def hash_of(text: str) -> int:
    """A number that is the same in each process."""
    return int.from_bytes(text.encode()[-7:], "little")


def feed(name: str, rng: np.random.Generator, dtype: np.dtype) -> object:
    kind = name.rstrip("0123456789")

    def normal(*shape):
        return spread_out(rng, shape).astype(dtype)

    if kind in SHAPES:
        if kind in POSITIVE:
            return rng.uniform(0.2, 0.9, SHAPES[kind]).astype(dtype)
        if SHAPES[kind] == ():
            number = float(spread_out(rng, ()))
            return number if dtype == np.float64 else dtype.type(number)
        return normal(*SHAPES[kind])
    return {
        "s": lambda: float(spread_out(rng, ())),
        "i": lambda: np.array([0, 3, -1, 3, 2, -4]),
        "j": lambda: np.array([1, 1, 0]),
        "h": lambda: np.array([[0, 2], [4, 2]]),
        "k": lambda: 2,
        "n": lambda: 2,
        "m": lambda: np.array([True, False, True, True, False]),
        "M": lambda: np.arange(12).reshape(3, 4) % 3 == 0,
        "p": lambda: {
            "first": {"W": normal(4, 5), "b": normal(4)},
            "scale": normal(1)[0],
            "name": "two layers",
        },
        "layers": lambda: [(normal(4, 5), normal(4)), (normal(3, 4), normal(3)), (normal(2, 3), normal(2))],
        "point": lambda: corpus.Point(normal(5), normal(1)[0]),
        "pair": lambda: corpus.Pair(normal(5), normal(5)),
    }[kind]()


def spread_out(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Numbers of either sign and no special value, away from zero and from each other: no kink is near."""
    n = int(np.prod(shape))
    numbers = (np.arange(n) + rng.uniform(0.2, 0.8, n)) / max(n, 1) * 2.4 + 0.15
    return (rng.permutation(numbers) * rng.choice([-1.0, 1.0], n)).reshape(shape)


def slope(function, h: float = 1e-3) -> np.ndarray:
    """The derivative at 0 of a function of a number, by the five-point rule: an error of about 1e-12."""
    far, near = (np.asarray(function(k * h)) - np.asarray(function(-k * h)) for k in (2, 1))
    return (8 * near - far) / (12 * h)


def leaves(x: object) -> list:
    """The arrays and numbers of a result, in order; what is no data is left out."""
    return flatten(x, "result", lambda leaf, name: is_data(leaf))[0]


def is_data(x: object) -> bool:
    return isinstance(x, np.ndarray | np.generic | float | int)


def is_float(x: object) -> bool:
    return np.asarray(x).dtype.kind == "f"


def replaced(x: object, change) -> object:
    """The structure with `change(leaf)` for each array and number."""
    found, _, structure = flatten(x, "result", lambda leaf, name: is_data(leaf))
    return unflatten(structure, iter([change(leaf) for leaf in found]))


def copied(x: object) -> object:
    return replaced(x, lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf)


def direction(x: object, rng: np.random.Generator) -> object:
    """Random numbers, in each dtype the same, for what is floating-point, None for other data and for what is none."""

    def random(leaf):
        if not is_float(leaf):
            return None
        numbers = rng.uniform(-0.5, 0.5, np.shape(leaf)).astype(np.asarray(leaf).dtype)
        return numbers if np.ndim(leaf) else numbers[()] if isinstance(leaf, np.ndarray) else type(leaf)(numbers)

    found, _, structure = flatten(x, "result", lambda leaf, name: is_data(leaf))
    return unflatten(without_statics(structure), iter([random(leaf) for leaf in found]))


def moved(x: object, dot: object, step: float) -> object:
    """`x + step * dot`, for what is floating-point."""
    dots = iter(leaves(dot))

    def move(leaf):
        if not is_float(leaf):
            return leaf
        new = leaf + step * np.asarray(next(dots))
        return new if isinstance(leaf, np.ndarray) else type(leaf)(new)

    return replaced(x, move)


def same(found: object, wanted: object, rounding: float = 1e-11) -> None:
    """Equal in number, dtype and shape, and in value but for rounding (relative to the largest element)."""
    found, wanted = leaves(found), leaves(wanted)
    assert len(found) == len(wanted)
    for k, (x, y) in enumerate(zip(found, wanted, strict=True)):
        assert np.shape(x) == np.shape(y), f"leaf {k}"
        assert np.asarray(x).dtype == np.asarray(y).dtype, f"leaf {k}"
        y = np.asarray(y)
        size = np.max(np.abs(y), where=np.isfinite(y), initial=1e-300) if y.dtype.kind == "f" else 0
        np.testing.assert_allclose(x, y, rtol=0, atol=rounding * size, err_msg=f"leaf {k}")


def close(found: list, wanted: list, tolerance: float) -> None:
    """Floats that are near, relative to the largest of each array but not less than to 1."""
    assert len(found) == len(wanted)
    for k, (x, y) in enumerate(zip(found, wanted, strict=True)):
        size = max(1.0, float(np.max(np.abs(y), initial=0)))
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * size, err_msg=f"leaf {k}")


def inner(a: object, b: object) -> tuple[float, float]:
    """The inner product of all float leaves, and the sum of the sizes of its terms."""
    terms = [np.multiply(x, y, dtype=float) for x, y in zip(leaves(a), leaves(b), strict=True)]
    return sum(float(np.sum(t)) for t in terms), sum(float(np.sum(np.abs(t))) for t in terms)
