"""Take pictures of every page on the sample data, wide and on a phone, light and dark; for `make screenshots`.

`python -m scripts.screenshots FOLDER [PAGE ...]` starts a server on a copy of the sample's database, with an account
that may see everything. `--readme FOLDER` also makes the README's pictures: what fits on a screen.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.chromium import CHROMIUM, SERVER
from tests.browser.pages import LOOKS, SIZES, THEMES, Look, Theme

BASE = Path(__file__).resolve().parents[1]
NAME = PASSWORD = "screenshots"  # noqa: S105 of a server that ends with this script


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Provide the address of a server on a copy of the sample's database, which ingests a stream meanwhile."""
    copy = folder / "db.sqlite3"
    with sqlite3.connect(BASE / "var" / "db.sqlite3") as sample, sqlite3.connect(copy) as target:
        sample.backup(target)
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "network_analysis.settings",
        "DATABASE_URL": f"sqlite:///{copy}",
        "LAKE_DIR": str(BASE / "var" / "lake"),
        "ANONYMOUS_RATE": "off",
        "USER_RATE": "off",
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    account = ["createsuperuser", "--noinput", "--username", NAME, "--email", "screenshots@example.com"]
    subprocess.run([sys.executable, BASE / "manage.py", *account, "-v0"], env=environment, check=True)
    stream = ["-m", "tests.browser.stream"]
    subprocess.run([sys.executable, *stream], cwd=BASE, env=environment, check=True)
    programs = [[*stream, "--go-on"], ["-c", SERVER]]
    with ExitStack() as stack:
        for program in programs:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, *program], cwd=BASE, env=environment, stdout=subprocess.PIPE, text=True
                )
            )
            stack.callback(process.terminate)
            said = cast(IO[str], process.stdout).readline()  # which is a pipe
        yield f"http://127.0.0.1:{int(said)}"


def log_in(page: Page) -> None:
    page.goto("/login/")
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


@contextmanager
def opened(browser: Browser, address: str, size: str, theme: Theme) -> Iterator[Page]:
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=address, viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


def show(page: Page, look: Look) -> None:
    """Open the page, and wait until it is complete."""
    if look.personal and "sessionid" not in {cookie["name"] for cookie in page.context.cookies()}:
        log_in(page)
    page.goto(look.address)
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", nargs="*", help="the pages' names (default: all)")
    parser.add_argument("--readme", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    looks = [look for look in LOOKS if not options.pages or look.name in options.pages]
    looks.sort(key=lambda look: look.personal)
    with (
        tempfile.TemporaryDirectory(prefix="screenshots-") as folder,
        server(Path(folder)) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for size in SIZES:
            for theme in THEMES:
                with opened(browser, address, size, theme) as page:
                    for look in looks:
                        show(page, look)
                        page.screenshot(path=options.folder / f"{look.name}-{size}-{theme}.png", full_page=True)
        if options.readme:
            for look in looks:
                if look.in_readme:
                    with opened(browser, address, "wide", look.in_readme) as page:
                        show(page, look)
                        page.screenshot(path=options.readme / f"{look.name}.png")
        browser.close()


if __name__ == "__main__":
    main()
