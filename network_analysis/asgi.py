"""The ASGI application, for a web server."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "network_analysis.settings")
application = get_asgi_application()
