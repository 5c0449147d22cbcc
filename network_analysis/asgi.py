"""The ASGI application, for a web server."""

import os

from django.core.asgi import get_asgi_application

from network_analysis.secret_key import require_secret_key

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "network_analysis.settings")
require_secret_key()
application = get_asgi_application()
