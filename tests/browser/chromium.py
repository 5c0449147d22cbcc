"""The browser that is installed, and a server for it to ask."""

from __future__ import annotations

import shutil

# Chromium's path; None where there is none.
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# The program of a server that prints its port (the given one, or a free one) once it can be asked, so that no process
# has to wait or to guess.
SERVER = """
import socket
import sys

import uvicorn

from network_analysis.asgi import application

listener = socket.create_server(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(application, log_level="error", timeout_graceful_shutdown=1)).run([listener])
"""
