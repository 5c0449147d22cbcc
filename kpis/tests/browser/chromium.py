"""The browser that is installed, and a server for it to ask."""

from __future__ import annotations

import shutil

# Chromium's path; None where there is none.
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# The program of a server that prints its port once it listens, so nobody has to wait or to guess.
SERVER = """
from network_analysis.wsgi import application
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

class Quiet(WSGIRequestHandler):
    def log_message(self, format, *args):
        pass

server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
server.set_app(application)
print(server.server_port, flush=True)
server.serve_forever()
"""
