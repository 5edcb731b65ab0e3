"""The server of the explorer: on this machine alone, behind a token, until Ctrl-C."""

from __future__ import annotations

import errno
import importlib.util
import logging
import signal
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Any

MISSING = "the explorer needs Panel, which is not installed: pip install 'teacherstudent[explore]'."
ADDRESS = "127.0.0.1"
FIRST_PORT = 5006
TRIES = 50  # ports, one after the other, where none was asked for


def require_panel() -> None:
    """Raise ValueError that says what to install, if Panel is not."""
    for name in ("panel", "bokeh"):
        if importlib.util.find_spec(name) is None:
            raise ValueError(MISSING)


class Explorer:
    """A server that has a port, and a token.

    - `opening`: what the page begins with, a `page.Opening`.
    - `folder`: that in which result files are found.
    - `port`: that which is asked for; the first free one from 5006 if None.

    Raises ValueError if the port is taken.
    """

    def __init__(self, opening: Any, folder: Path, port: int | None = None):
        from teacherstudent.explorer.guard import Guard, new_token
        from teacherstudent.explorer.page import page_of_session
        from teacherstudent.explorer.sentences import listen_to_warnings

        listen_to_warnings()
        self._server = _server_on(port, lambda: page_of_session(opening, folder))
        self.port: int = self._server.port
        token = new_token()
        self.url = f"http://{ADDRESS}:{self.port}/?token={token}"
        # Bokeh has no name without an underscore for the application that it hands to Tornado.
        Guard(token, self.port).keep_out(self._server._tornado, token)

    def run(self) -> None:
        """Answer requests until the loop is stopped, or Ctrl-C."""
        self._server.start()
        try:
            self._server.io_loop.start()
        finally:
            with suppress(Exception):  # sessions whose browser has gone
                self._server.stop()

    def show(self) -> bool:
        """Open a browser if there is one; whether there is."""
        try:
            return webbrowser.open(self.url)
        except webbrowser.Error:
            return False


def _server_on(port: int | None, page: Any) -> Any:
    """A server of Panel on the port, or on the first free one."""
    from panel.io.server import get_server

    interrupted = signal.getsignal(signal.SIGINT)
    try:
        return _first_that_is_free(port, page, get_server)
    finally:  # Panel puts its own handler there, and the command line has one
        signal.signal(signal.SIGINT, interrupted)


def _first_that_is_free(port: int | None, page: Any, get_server: Any) -> Any:
    """The same, with Panel's way to make a server."""
    # Of that wildcard, which is meant, Bokeh warns; Tornado tells of every request it refuses.
    for name in ("bokeh.server.util", "tornado.access"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ports = range(FIRST_PORT, FIRST_PORT + TRIES) if port is None else [port]
    for number in ports:
        try:
            return get_server(
                {"/": page},
                port=number,
                address=ADDRESS,
                # The guard compares Origin and Host, also through a tunnel on another port, which
                # Bokeh could only allow for one port.
                websocket_origin=["*"],
                title="teacherstudent explorer",
                location=False,
                show=False,
                start=False,
            )
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    if port is None:
        last = FIRST_PORT + TRIES - 1
        raise ValueError(f"all ports from {FIRST_PORT} to {last} are taken; choose one by --port.")
    raise ValueError(
        f"--port {port} is taken by another program, or not allowed; choose another one, or leave "
        "--port out to take the first that is free."
    )
