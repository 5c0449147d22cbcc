"""The WSGI application."""

import os

from django.core.wsgi import get_wsgi_application

from kpis.console.charts.lazy import load
from network_analysis.secret_key import require_secret_key

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "network_analysis.settings")
require_secret_key()
application = get_wsgi_application()
# Before there are threads, each of whose first charts would wait for it.
load()
