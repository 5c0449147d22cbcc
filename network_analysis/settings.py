"""Django's settings: those of ``options``, which come from the environment, and what is derived from them."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from kpis import extras
from kpis.catalog.calendar import use_zone
from kpis.catalog.registry import zone_conflict
from network_analysis import logs, options
from network_analysis.options import *

# HTTP. Each proxy adds its entry to X-Forwarded-For; entries before those of the trusted proxies come from the client
# and are ignored.
if PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
if HTTPS:
    SECURE_SSL_REDIRECT = True
    # Probes ask the process directly, without the proxy that terminates HTTPS.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
    SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds())
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # Only the domain's owner can put it on the browsers' preload list.
    SILENCED_SYSTEM_CHECKS = ["security.W021"]

# Scripts only from this site's files. Swagger UI and the browsable API have inline styles.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)

# Times are UTC throughout, but days, weeks and months are those of the zone, and pages show its local time.
USE_TZ = True
use_zone(TIME_ZONE)
if zone_conflict():
    raise ImproperlyConfigured(zone_conflict())
LANGUAGE_CODE = "en"
USE_I18N = False

INSTALLED_APPS = [
    # Before the admin, whose templates it overrides.
    "kpis.console",
    # urls.py discovers the admin of each app: commands do not need it, nor its imports.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_filters",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "django_htmx",
    "kpis",
    *(["kpis.declared"] if CATALOG_MIGRATIONS else []),
    *PLUGINS,
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "network_analysis.policy.ContentSecurityPolicyMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "network_analysis.urls"
WSGI_APPLICATION = "network_analysis.wsgi.application"
ASGI_APPLICATION = "network_analysis.asgi.application"

# The channel by which consumers notify web processes; without Redis these poll.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [{"address": REDIS_URL, "socket_connect_timeout": 2, "socket_timeout": 2}],
            "prefix": "network_analysis",
        },
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def require_driver(engine: str) -> None:
    """Import the driver of a Django database engine; raises ImproperlyConfigured if it is not installed."""
    extra, module, subject = {
        "mysql": ("mysql", "MySQLdb", "MySQL and MariaDB need"),
        "postgresql": ("postgres", "psycopg", "PostgreSQL needs"),
    }.get(engine, ("", "", ""))
    if module:
        try:
            import_module(module)
        except ImportError as error:
            raise ImproperlyConfigured(extras.missing(extra, subject, error)) from None


def database(url: str) -> dj_database_url.DBConfig:
    """Return Django's settings for a database address; raises ImproperlyConfigured for an invalid one."""
    # SQLAlchemy's spellings include the driver: mysql+mysqldb://, postgresql+psycopg2://.
    plain = re.sub(r"^(\w+)\+\w+://", r"\1://", url).replace("mariadb://", "mysql://", 1)
    try:
        # Opening a connection takes several times as long as a page of results, so requests share it for a minute.
        found = dj_database_url.parse(plain, conn_max_age=60, conn_health_checks=True)
        if found["ENGINE"].rpartition(".")[2] not in ("sqlite3", "mysql", "postgresql"):
            raise ValueError
    except (ValueError, KeyError, dj_database_url.UnknownSchemeError):
        raise ImproperlyConfigured(
            "DATABASE_URL must be like sqlite:////folder/file.sqlite3, mysql://user:password@host:3306/name "
            "or postgres://user:password@host:5432/name."
        ) from None
    require_driver(found["ENGINE"].rpartition(".")[2])
    options = found.setdefault("OPTIONS", {})
    if found["ENGINE"].endswith("sqlite3"):
        # A writer waits for its turn instead of failing, and readers never wait for it.
        options |= {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    else:
        # An unreachable server is reported soon, also to probes.
        options.setdefault("connect_timeout", 10)
    if found["ENGINE"].endswith("mysql"):
        options |= {"charset": "utf8mb4", "isolation_level": "read committed"}
        options.setdefault(
            "init_command", "SET sql_mode='STRICT_ALL_TABLES', time_zone='+00:00', net_write_timeout=3600"
        )
        found["TEST"] = {"CHARSET": "utf8mb4"}
    return found


DATABASES = {"default": database(options.database_url)}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    Path(DATABASES["default"]["NAME"]).parent.mkdir(parents=True, exist_ok=True)

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "overview"

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]

# Five wrong passwords for one name from one address lock that pair for 15 minutes.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_COOLOFF_MESSAGE = "Too many failed logins. Try again in 15 minutes."
AXES_CLIENT_IP_CALLABLE = "network_analysis.clients.address"
AXES_VERBOSE = False

# Counts the requests of each client. Each process has its own cache, so that a client's rate applies per process.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "var" / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
# Static files are served from the packages: nothing to collect before `make serve`.
WHITENOISE_USE_FINDERS = True
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "kpis.console.vega.BundleFinder",
]
# Files made from packages on first use. Their names have the packages' versions, so browsers may keep them.
BUILT_DIR = BASE_DIR / "var" / "built"
WHITENOISE_IMMUTABLE_FILE_TEST = r"^.*/console/vega-[^/]+\.js$"

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["kpis.query.throttles.AnonymousThrottle", "kpis.query.throttles.AccountThrottle"],
    "NUM_PROXIES": PROXIES,
    "DEFAULT_PERMISSION_CLASSES": ["kpis.api.permissions.MayReadAggregates"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "kpis.api.renderers.ContentNegotiation",
    "DEFAULT_FILTER_BACKENDS": ["kpis.api.filter_backend.FilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "kpis.api.pagination.KeysetPagination",
    "DEFAULT_RENDERER_CLASSES": [
        "kpis.api.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
        "kpis.api.renderers.CSVRenderer",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "PAGE_SIZE": 1000,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Network Analysis",
    "DESCRIPTION": "KPIs of a mobile network per interval, read-only.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["kpis.api.permissions.MayReadAggregates"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

LOGGING = logs.configuration(LOG_FORMAT, LOG_LEVEL)

for name, value in plugin_values.items():
    if globals()[name] is not value:
        raise ImproperlyConfigured(f"A plug-in has the setting {name}, which there is already.")
