"""A llama.cpp server in a child process: serves one GGUF file over the OpenAI wire on a free loopback port.

Run as ``python -m emafusion.demo.local_server FILE SLOTS THREADS CONTEXT`` it is that child: it prints its address and
lives until its standard input closes, so it never outlives the process that started it.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class LocalServer:
    """A running server: its address for an OpenAI client and its process id, to read its processor time."""

    base_url: str
    pid: int


@contextmanager
def serve_gguf(path: Path, *, slots: int = 4, threads: int = 2, context: int = 2048) -> Iterator[LocalServer]:
    """Serve the model file `path` until the block ends. Needs the ``local`` extra (xllamacpp).

    `slots` requests are decoded together, each within `context` tokens.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no model file at {path}: pass the path of a .gguf file")
    command = [sys.executable, "-m", "emafusion.demo.local_server", str(path), str(slots), str(threads), str(context)]
    # llama.cpp logs a lot to standard error; the address is all that matters.
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        address = child.stdout.readline().strip()
        if not address:
            raise RuntimeError(
                f"the local server did not start for {path} (exit code {child.wait()}): "
                "is `xllamacpp` installed (pip install 'emafusion[local]') and the file a GGUF model?"
            )
        yield LocalServer(f"{address}/v1", child.pid)
    finally:
        child.stdin.close()
        try:
            child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


def cpu_seconds(pid: int) -> float | None:
    """Processor seconds that all threads of process `pid` have used, or None where the system does not tell."""
    try:
        # The command name, in brackets, may hold blanks: count the fields after it.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _serve(path: str, slots: int, threads: int, context: int) -> None:
    """The child: load, say where, wait for standard input to close."""
    xllamacpp: Any = importlib.import_module("xllamacpp")  # no type information, not always installed

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel = slots
    params.n_ctx = slots * context
    params.kv_unified = False
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.cache_prompt = True
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # the server's own threads would otherwise delay the end


if __name__ == "__main__":
    _serve(sys.argv[1], *map(int, sys.argv[2:5]))
