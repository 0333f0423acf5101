"""What a call does on its way to the machine code, and what an import brings with it."""

import subprocess
import sys

START = """
import sys
from jitgrad import checkpoint, grad, jit, jvp, value_and_grad, vjp

late = ["scipy.linalg", "astunparse"] + [f"jitgrad.{name}" for name in "trace ad passes lower codegen".split()]
decorated = grad(lambda x: x * x)
print([name for name in late if name in sys.modules])
decorated(2.0)
print([name for name in late if name not in sys.modules])
"""


def test_an_import_brings_no_compiler():
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]
