"""The settings that come from the environment or ``.env``: each with its default, unit and meaning.

``docs/reference/settings.md`` is generated from this module. ``settings.py`` takes them all, and derives Django's from
them. ``.env`` and ``var/`` are beside ``manage.py`` in a checkout, and in the working folder if the package is
installed.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.core.management.utils import get_random_secret_key
from dotenv import load_dotenv

from kpis.catalog.registry import FEED_FILES as CATALOG_FEED_FILES
from kpis.catalog.registry import FEEDS, archived_feeds
from kpis.catalog.registry import SOURCES as CATALOG_SOURCES
from kpis.plugins.registry import added
from network_analysis.environment import Group
from network_analysis.plugin_settings import settings_of_plugins


def migrations_folder(catalog: list[Path], var: Path) -> Path | None:
    """Return the default folder of catalog files' migrations; None if there is no catalog file."""
    own = var / "catalog_migrations"
    if own.is_dir() or (CATALOG_SOURCES and not catalog):
        return own
    return catalog[0].parent / "catalog_migrations" if catalog else None


BASE_DIR = Path(__file__).resolve().parent.parent
is_checkout = (BASE_DIR / "manage.py").is_file()
if not is_checkout:
    BASE_DIR = Path.cwd()
load_dotenv(BASE_DIR / ".env")

places = Group("Places")
# Not a setting of Django's, as debug pages would show the password in it.
database_url = places.text(
    "DATABASE_URL",
    f"sqlite:///{BASE_DIR / 'var' / 'db.sqlite3'}",
    accepts="an address",
    help="The database: results, ledger, accounts. `sqlite:////folder/file.sqlite3`, "
    "`mysql://user:password@host:3306/name` or `postgres://user:password@host:5432/name`.",
    shown="SQLite in `var/`",
)
DATA_DIR = places.place("DATA_DIR", BASE_DIR / "var" / "data", help="Where files are read from.", shown="`var/data`")
LAKE_DIR = places.place(
    "LAKE_DIR",
    BASE_DIR / "var" / "lake",
    help="Where the lake is: partials, rejects and archived records in Parquet.",
    shown="`var/lake`",
)
places.mention(
    "AWS_ENDPOINT_URL",
    help="Another object store than AWS's. Credentials, profile and region have AWS's other names.",
)

# Before the catalog, which may use their formats and measures.
plugins = Group("Plug-ins")
PLUGINS = plugins.plugins(
    "PLUGINS",
    # Never of a working folder, whose code nobody has installed.
    BASE_DIR / "plugins" if is_checkout else None,
    help="[Plug-ins](plugins.md) by their packages, besides those in the folder `plugins` of a checkout and those that "
    "installed distributions name.",
)

# Before the settings that name feeds.
catalog = Group("The catalog")
CATALOG = catalog.catalog(
    "CATALOG",
    help="[Catalog files](catalog.md): feeds and KPIs of your own. `manage.py apply_catalog` after a change.",
)
CATALOG_MIGRATIONS = catalog.folder(
    "CATALOG_MIGRATIONS",
    migrations_folder(CATALOG, BASE_DIR / "var"),
    help="The folder of the migrations that `apply_catalog` writes.",
    shown="`catalog_migrations` beside the first catalog file, or in `var/` if only plug-ins have catalog files or it "
    "is there already",
)

files = Group("Files")
FEED_FILES = files.pairs(
    "FEED_FILES",
    CATALOG_FEED_FILES,
    tuple(FEEDS),
    help="Which file names belong to which feed.",
    shown="the names in [Feeds](feeds.md)",
)
DUPLICATES = files.choice(
    "DUPLICATES", "ignore", ("ignore", "count"), help="Whether files of the same content count once, or each."
)
TOP_N = files.integer("TOP_N", 10, minimum=1, help="Length of top lists.", unit="groups")
MAX_REJECT_RATIO = files.ratio("MAX_REJECT_RATIO", 0.5, help="A file fails if a larger share of its rows are rejects.")
MAX_REJECTS = files.integer(
    "MAX_REJECTS",
    1_000_000,
    minimum=1,
    help="A file fails if it has more rejects, regardless of their share. The first 100 are kept.",
    unit="rejects",
)
MAX_HOURS_PER_FILE = files.integer(
    "MAX_HOURS_PER_FILE",
    1_000,
    minimum=1,
    help="A file fails if its records lie in more different hours. Split it by time, or raise the limit: each hour is "
    "one lake file for each KPI.",
    unit="hours",
)
MAX_UNPACKED_MB = files.integer(
    "MAX_UNPACKED_MB", 16_384, minimum=1, help="A `.gz` or `.zst` file fails if it unpacks to more.", unit="MB"
)
MAX_UNPACKED_RATIO = files.integer(
    "MAX_UNPACKED_RATIO",
    200,
    minimum=1,
    help="A `.gz` or `.zst` file fails if it unpacks to more than 64 MB and to more than this many times its size.",
)
MAX_CLOCK_AHEAD = timedelta(
    seconds=files.integer(
        "MAX_CLOCK_AHEAD",
        86400,
        minimum=0,
        maximum=10**9,
        help="A row whose time is further ahead of the clock is a reject until then.",
        unit="s",
    )
)
GROUP_FILES = files.integer(
    "GROUP_FILES",
    1_000,
    minimum=1,
    help="At most so many files of a run are committed together. A run that is killed loses those of the open group, "
    "which the next run reads again.",
    unit="files",
)
GROUP_MB = files.integer(
    "GROUP_MB",
    24,
    minimum=1,
    help="Files are committed together until their partials take so much memory.",
    unit="MB",
)
GROUP_SECONDS = files.integer(
    "GROUP_SECONDS",
    10,
    minimum=0,
    help="Files are committed together that are read within so many seconds; `0` commits each alone.",
    unit="s",
)
WATCH_LISTING_SECONDS = files.integer(
    "WATCH_LISTING_SECONDS", 300, minimum=1, help="How often `--watch` lists the whole place.", unit="s"
)
WATCH_POLL_SECONDS = files.integer(
    "WATCH_POLL_SECONDS",
    5,
    minimum=1,
    help="How often `--watch` lists the place if nothing reports new files.",
    unit="s",
)

lake = Group("The lake")
ARCHIVE_FEEDS = lake.feeds(
    "ARCHIVE_FEEDS",
    archived_feeds(),
    tuple(FEEDS),
    help="The feeds whose records the lake keeps.",
    shown="`antenna`, and those of catalog files that say so",
)
LAKE_VERIFY = lake.choice(
    "LAKE_VERIFY",
    "always",
    ("always", "compaction", "off"),
    help="When a lake file is compared with its digest: before it is merged or compacted (`always`), before it is "
    "compacted (`compaction`), or never (`off`). See [The lake's files](../explanation/lake.md).",
)
LAKE_SYNC = lake.boolean(
    "LAKE_SYNC",
    True,
    help="Whether the lake's files and folders are synced to the disk before the ledger refers to them. `off` is "
    "faster, and a power cut may lose the last runs' files.",
)

engine = Group("Engine")
ENGINE = engine.choice(
    "ENGINE",
    "local",
    ("local", *added("engines")),
    help="What reads files and merges large intervals: this machine, or a plug-in's engine such as "
    "[Spark](../how-to/spark.md).",
)
MEMORY_LIMIT_MB = engine.integer(
    "MEMORY_LIMIT_MB", 800, minimum=100, help="Memory that the engine may use before it spills to disk.", unit="MB"
)

streams = Group("Streams")
STREAM_BATCH_RECORDS = streams.integer(
    "STREAM_BATCH_RECORDS",
    500_000,
    minimum=1,
    help="A batch is full when all partitions together have so many messages.",
    unit="messages",
)
STREAM_BATCH_MB = streams.integer(
    "STREAM_BATCH_MB", 128, minimum=1, help="A batch is full when its messages have so many MB.", unit="MB"
)
# Slightly more than the second between the live page's frames, so that frames follow batches.
STREAM_BATCH_SECONDS = streams.seconds(
    "STREAM_BATCH_SECONDS", 1.1, minimum=0.1, help="A batch is ingested after so many seconds, full or not."
)
ALLOWED_LATENESS = timedelta(
    seconds=streams.integer(
        "ALLOWED_LATENESS",
        60,
        minimum=0,
        help="How long a stream's intervals wait for late messages before they close. Files do not wait.",
        unit="s",
    )
)
# Under librdkafka's names.
KAFKA_OPTIONS = {
    option: value
    for option, value in {
        "security.protocol": streams.choice(
            "KAFKA_SECURITY_PROTOCOL",
            "",
            ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
            help="How Kafka's brokers are reached.",
            shown="`plaintext`",
        ),
        "sasl.mechanism": streams.text(
            "KAFKA_SASL_MECHANISM", help="With SASL: the mechanism, such as `SCRAM-SHA-512`."
        ),
        "sasl.username": streams.text("KAFKA_SASL_USERNAME", help="With SASL: the account."),
        "sasl.password": streams.text("KAFKA_SASL_PASSWORD", help="With SASL: its password."),
        "ssl.ca.location": streams.text("KAFKA_CA_FILE", accepts="a file", help="With TLS: the trusted authorities."),
        "ssl.certificate.location": streams.text(
            "KAFKA_CERTIFICATE_FILE", accepts="a file", help="With TLS: the client's certificate."
        ),
        "ssl.key.location": streams.text("KAFKA_KEY_FILE", accepts="a file", help="With TLS: the client's key."),
        "ssl.key.password": streams.text("KAFKA_KEY_PASSWORD", help="With TLS: the key's password."),
    }.items()
    if value
}
streams.mention(
    "SCHEMA_REGISTRY_USERNAME",
    help="The account at the schema registry of feeds in [Avro](formats.md#avro). Without it, that of the registry's "
    "host in the file that `NETRC` names, else `~/.netrc`.",
)
streams.mention("SCHEMA_REGISTRY_PASSWORD", help="Its password.")
REDIS_URL = streams.redis(
    "REDIS_URL",
    help="A Redis that notifies open live pages of new messages immediately. Without it web processes poll the "
    "database five times a second.",
)

web = Group("The web")
DEBUG = web.boolean("DEBUG", False, help="Django's debug pages.")
SECRET_KEY = web.text(
    "SECRET_KEY",
    help="Django's secret, needed to serve the web; `make serve` writes one to `.env`.",
    shown="none; a random one with `DEBUG`",
) or (get_random_secret_key() if DEBUG else "")
ALLOWED_HOSTS = web.words(
    "ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"], help="Host names that the web answers to."
)
HTTPS = web.boolean(
    "HTTPS",
    False,
    help="Redirects all requests but `/healthz` to HTTPS, for a year (HSTS), and restricts cookies to it.",
)
PROXIES = web.integer(
    "PROXIES",
    0,
    minimum=0,
    help="Number of reverse proxies in front, whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted.",
)
API_PUBLIC = web.boolean(
    "API_PUBLIC", True, help="Whether aggregates can be read without an account, on the pages and in the API."
)
ANONYMOUS_RATE = web.rate("ANONYMOUS_RATE", "600/min", help="Requests allowed from one address without an account.")
USER_RATE = web.rate("USER_RATE", "6000/min", help="Requests allowed for each account.")
TIME_ZONE = web.zone(
    "TIME_ZONE",
    "UTC",
    help="Time zone of days, weeks and months, and of the times in the console, its files and `plot`. Times of the API "
    "and the admin's tables are UTC.",
)

monitoring = Group("Monitoring")
HEALTH_MAX_AGE = monitoring.integer(
    "HEALTH_MAX_AGE",
    None,
    minimum=1,
    help="`/healthz` answers 503 if the newest interval of a feed ended longer ago.",
    unit="s",
)
LOG_LEVEL = monitoring.choice(
    "LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"), help="The least severe messages that are logged."
)
LOG_FORMAT = monitoring.choice(
    "LOG_FORMAT",
    "",
    ("json", "text"),
    help="Structured lines on standard error, with a run's [events](log-events.md).",
    shown="none",
)

# Of plug-ins, in modules of their own.
PLUGIN_GROUPS, plugin_values = settings_of_plugins(globals())
globals().update(plugin_values)
