"""Pictures of every page, wide and on a phone, light and dark: ``screenshots.py ADDRESS FOLDER``.

ADDRESS is a running server's, such as http://127.0.0.1:8000; NAME and PASSWORD in the environment are an account that
may see everything. Pages are whole, however long; the words after the folder choose some of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kpis.tests.browser.pages import LOOKS, SIZES, THEMES


def log_in(page: Page) -> None:
    page.goto("/login/")
    page.get_by_label("Name").fill(os.environ["NAME"])
    page.get_by_label("Password").fill(os.environ["PASSWORD"])
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", nargs="*", help="their names (default: all)")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    looks = [look for look in LOOKS if not arguments.pages or look.name in arguments.pages]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for size, (width, height) in SIZES.items():
            for theme in THEMES:
                viewport = {"width": width, "height": height}
                context = browser.new_context(base_url=arguments.address, viewport=viewport, color_scheme=theme)
                page = context.new_page()
                for look in sorted(looks, key=lambda look: look.personal):
                    if look.personal and not context.cookies():
                        log_in(page)
                    page.goto(look.address)
                    expect(page.locator("[aria-busy=true]")).to_have_count(0)
                    page.screenshot(path=arguments.folder / f"{look.name}-{size}-{theme}.png", full_page=True)
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
