"""The WSGI application, for a web server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "network_analysis.settings")
application = get_wsgi_application()
