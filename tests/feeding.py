"""What the functions of the corpus are fed with, by the names of their arguments; and differences to compare with."""

import inspect

import corpus
import numpy as np

SHAPES = {
    **dict.fromkeys("abc", ()), **dict.fromkeys("xyzuvw", (5,)), **dict.fromkeys("ABP", (3, 4)),
    **dict.fromkeys("CD", (4, 3)), **dict.fromkeys("SQ", (4, 4)), **dict.fromkeys("TR", (2, 3, 4)),
    "U": (2, 4, 5), "o": (5, 1), "r": (1, 5), "e": (0,), "E": (0, 3), "q": (1,),
}  # fmt: skip
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
        "p": lambda: {"first": {"W": normal(4, 5), "b": normal(4)}, "scale": normal(1)[0], "name": "two layers"},
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
