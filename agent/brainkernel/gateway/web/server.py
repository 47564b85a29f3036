"""The HTTP server in a thread of its own: uvicorn, on sockets that were bound before the rights were given up."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import anyio._backends._asyncio  # noqa: F401 # anyio would load it at the first request, when no file can be read any more
import uvicorn

from brainkernel.gateway.web.address import is_loopback, listen_tcp, listen_unix, url_of
from brainkernel.gateway.web.app import Sources, application
from brainkernel.gateway.web.connection import Connection
from brainkernel.gateway.web.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from brainkernel.gateway.web.token import Token

END_S = 2


# Uvicorn looks ten times a second whether it is to end: most of what an idle gateway would cost. Of its other work there
# the Date header is left, which Connection makes.
class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._ending.wait()

    def end(self) -> None:
        # To be called from another thread. A loop that does not run yet sees the flag before it waits.
        self.should_exit = self.force_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ending.set)


class HttpServer:
    """Serves on `address:port`, at a Unix socket, or both, until closed."""

    def __init__(
        self,
        listen: str,
        sources: Sources,
        *,
        token: Token | None = None,
        unix_socket: Path | None = None,
        say: Callable[[str], None],
    ) -> None:
        """Bind; clients wait until `start`. Raises OSError when it cannot listen there, ValueError for a bad address."""
        tcp = listen_tcp(listen) if listen else None
        self._sockets = [*([tcp] if tcp else []), *([listen_unix(unix_socket)] if unix_socket else [])]
        self.url = url_of(tcp) if tcp else ""
        self.place = self.url or f"unix:{unix_socket}:/"  # for people
        guard = Guard(app=application(sources, token), token=token, only_loopback=tcp is None or is_loopback(tcp), say=say)
        config = uvicorn.Config(
            guard,
            http=Connection,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # junk of strangers is no event; our own faults are said by Guard
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=END_S,
        )
        config.load()
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Hang up and give the port back."""
        self._server.end()
        if self._thread.is_alive():
            self._thread.join(END_S)
        for sock in self._sockets:
            sock.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=self._sockets))
