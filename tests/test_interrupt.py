"""Ctrl-C ends a compiled loop that wouldn't end by itself."""

import subprocess
import sys
import textwrap

PROGRAM = textwrap.dedent("""
    import os, signal, threading, time
    from jitgrad import jit

    signal.signal(signal.SIGINT, signal.default_int_handler)  # what started the tests may have it ignored

    @jit
    def endless(x):
        while x > 0.0:
            x = x * 0.5 + 1.0
        return x

    endless(-1.0)
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.perf_counter()
    try:
        endless(1.0)
    except KeyboardInterrupt:
        print("interrupted", time.perf_counter() - start < 2.0)
""")


def test_ctrl_c(tmp_path):
    path = tmp_path / "endless.py"
    path.write_text(PROGRAM)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "interrupted True\n", done.stderr
