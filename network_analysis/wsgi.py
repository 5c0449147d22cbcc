"""The WSGI application."""

import os

from django.core.wsgi import get_wsgi_application

from kpis.console.charts.lazy import import_altair
from network_analysis.secret_key import require_secret_key

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "network_analysis.settings")
require_secret_key()
application = get_wsgi_application()
# Before there are threads: the first chart of each would wait for it.
import_altair()
