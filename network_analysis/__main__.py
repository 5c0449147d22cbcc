"""The command line: ``manage.py`` in a checkout, ``network-analysis`` if the package is installed."""

import gc
import os
import sys


def hold_standard_streams() -> None:
    """Open the null device for each closed standard stream, so that no other file gets its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # open() returns the lowest free number.
            os.open(os.devnull, os.O_RDWR)


def main() -> None:
    hold_standard_streams()
    # A command imports some 100,000 objects, none of them garbage. To scan them every 700 allocations, Python's
    # default, takes a tenth of a short run.
    gc.set_threshold(200_000)
    # NumPy's linear algebra, which nothing here uses, else starts a thread for each core that waits for work in a loop.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "network_analysis.settings")
    from django.apps import apps
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from kpis.plugins.registry import PluginError, fault_in
    from network_analysis.secret_key import require_secret_key

    try:
        settings.DEBUG  # noqa: B018  reads the settings, so that a wrong one is reported in one line
    except ImproperlyConfigured as error:
        sys.exit(f"{error}")
    if sys.argv[1:2] == ["runserver"]:
        require_secret_key()
    try:
        execute_from_command_line(sys.argv)
    except PluginError as error:
        # A command's arguments, and the addresses of the pages, are made of what plug-ins add.
        sys.exit(f"{error}")
    except Exception as error:
        # Django imports the plug-ins' apps and models.
        fault = None if apps.ready else fault_in(error)
        if fault is None:
            raise
        sys.exit(f"{fault}")


if __name__ == "__main__":
    main()
