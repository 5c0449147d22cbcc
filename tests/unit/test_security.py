"""Headers, throttling, logins, the secret key, and the response when the program fails."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.conf import settings as project_settings
from django.core.cache import cache
from django.core.management import call_command
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone
from rest_framework.authtoken.models import Token

from kpis.admin.results import IntervalSummaryAdmin
from kpis.api.viewsets import SummaryViewSet
from network_analysis.secret_key import MISSING
from tests.factories import make_batch, make_reject, make_run, make_user
from tests.processes import bare_environment
from tests.unit.test_settings import manage

pytestmark = pytest.mark.sqlite_alone

POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
STATIC = "/static/rest_framework/css/default.css"
PAGES = [
    "/",
    "/login/",
    "/operators/",
    "/kpis/1/",
    "/admin/",
    "/admin/auth/user/",
    "/admin/auth/user/add/",
    "/admin/kpis/batch/",
    "/admin/kpis/intervalsummary/?kpi__exact=1",
    "/api/?format=api",
    "/api/KPIs/1/?format=api",
    "/api/batches/?format=api",
    "/api/docs/",
]


@pytest.fixture(autouse=True)
def fresh_counts():
    """No request has been counted yet, and none stays counted."""
    cache.clear()
    yield
    cache.clear()


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/", "/admin/login/", "/api/", "/api/nowhere/", "/api/docs/", "/healthz", STATIC])
def test_every_answer_has_the_headers(client, address):
    response = client.get(address)
    response.close()
    headers = response.headers
    directives = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert directives == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert address == STATIC or headers["X-Frame-Options"] == "DENY"


@pytest.mark.django_db
@pytest.mark.parametrize("address", PAGES)
def test_no_page_has_a_script_in_its_markup(admin_client, address):
    make_reject(make_batch(make_run(), "ipflow_data.1.csv"), 2)
    response = admin_client.get(address)
    assert response.status_code == 200
    page = response.content.decode()
    assert re.findall(r"<[a-z]+\s[^>]*\son[a-z]+\s*=", page) == []
    assert re.findall(r"javascript:", page) == []
    scripts = re.findall(r"<script\b([^>]*)>", page)
    assert scripts
    assert [one for one in scripts if "src=" not in one and 'type="application/json"' not in one] == []
    assert set(re.findall(r'(?:src|action)="(https?:)?//', page)) == set()


HTTPS = {
    "HTTPS": "on",
    "ALLOWED_HOSTS": "kpis.example.org",
    "SECRET_KEY": "k%9Zq" * 3 + "abcdefghijklmnopqrstuvwxyz0123456789",
}


def test_a_deployment_passes_djangos_checks(tmp_path):
    environment = {**HTTPS, "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    result = manage("check", "--deploy", "--fail-level", "WARNING", **environment)
    assert result.returncode == 0, result.stderr


SHOW = """
import django
django.setup()
from django.test import Client
def show(path, **meta):
    response = Client().get(path, headers={"Host": "kpis.example.org"}, **meta)
    print(response.status_code, response.get("Location"), response.get("Strict-Transport-Security"))
show("/admin/login/")
show("/admin/login/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_PROTO="https")
show("/admin/login/", secure=True)
show("/healthz")
"""
HSTS = "max-age=31536000; includeSubDomains"


@pytest.mark.parametrize(
    ("proxies", "through_a_proxy"),
    [("0", "301 https://kpis.example.org/admin/login/ None"), ("1", f"200 None {HSTS}")],
)
def test_with_https_all_but_probes_are_sent_there(tmp_path, proxies, through_a_proxy):
    url = f"sqlite:///{tmp_path}/db.sqlite3"
    environment = {**HTTPS, "PROXIES": proxies, "DATABASE_URL": url, "LOG_LEVEL": "ERROR"}
    environment |= {"DJANGO_SETTINGS_MODULE": "network_analysis.settings", "PYTHON_DOTENV_DISABLED": "1"}
    result = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=project_settings.BASE_DIR,
        env=bare_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.splitlines() == [
        "301 https://kpis.example.org/admin/login/ None",
        through_a_proxy,
        f"200 None {HSTS}",
        # Its database has no tables yet.
        "503 None None",
    ], result.stderr


@pytest.mark.parametrize(
    "command", [["manage.py", "runserver"], ["-m", "network_analysis.wsgi"], ["-m", "network_analysis.asgi"]]
)
@pytest.mark.parametrize(
    ("environment", "line"),
    [({}, MISSING), ({"TOP_N": "0", "SECRET_KEY": "x"}, "TOP_N must be a whole number of at least 1, not '0'.")],
)
def test_the_web_does_not_start_on_wrong_settings(command, environment, line):
    result = subprocess.run(
        [sys.executable, *command],
        cwd=project_settings.BASE_DIR,
        env=bare_environment(PYTHON_DOTENV_DISABLED="1", **environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == line + "\n"
    assert result.returncode != 0


def test_commands_need_no_secret_key(tmp_path):
    result = manage("migrate", "-v", "0", SECRET_KEY="", DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")
    assert (result.returncode, result.stderr) == (0, "")


def statuses(client: Client, times: int, address: str = "/api/KPIs/", **request) -> list[int]:
    return [client.get(address, **request).status_code for _ in range(times)]


@pytest.mark.django_db
def test_an_anonymous_client_has_its_rate(client, settings):
    settings.ANONYMOUS_RATE = "3/min"
    assert statuses(client, 5) == [200, 200, 200, 429, 429]
    response = client.get("/api/batches/")
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert re.fullmatch(r"Request was throttled\. Expected available in \d+ seconds?\.", response.json()["detail"])
    assert statuses(client, 1, REMOTE_ADDR="192.0.2.9") == [200]
    # What the client itself says about where it is does not count.
    assert statuses(client, 1, headers={"X-Forwarded-For": "192.0.2.10"}) == [429]
    assert statuses(client, 1, "/healthz") == [200]


@pytest.mark.django_db
def test_an_account_has_a_rate_of_its_own(client, settings):
    settings.ANONYMOUS_RATE, settings.USER_RATE = "1/min", "2/min"
    token = Token.objects.create(user=make_user())
    known = {"headers": {"Authorization": f"Token {token.key}"}}
    assert statuses(client, 2) == [200, 429]
    assert statuses(client, 3, **known) == [200, 200, 429]
    client.force_login(make_user(name="other"))
    assert statuses(client, 3) == [200, 200, 429]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address", ["/api/", "/api/schema/", "/api/docs/", "/api/nowhere/", "/metrics", "/api/KPIs/1/?format=csv"]
)
def test_the_rate_is_one_for_all_addresses(client, settings, address):
    settings.ANONYMOUS_RATE = "1/min"
    assert statuses(client, 1) == [200]
    assert client.get(address).status_code == 429


@pytest.mark.parametrize(
    ("rate", "wrong"),
    [("600/min", False), ("off", False), ("OFF", False), ("0/min", True), ("5", True), ("5/week", True)],
)
def test_a_rate_is_a_number_in_a_time(tmp_path, rate, wrong):
    result = manage("check", ANONYMOUS_RATE=rate, DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")
    line = f"ANONYMOUS_RATE must be off, or like 600/min with one of sec, min, hour, day, not {rate!r}.\n"
    assert (result.returncode, result.stderr) == ((1, line) if wrong else (0, ""))


def log_in(client: Client, password: str, name: str = "staff", **request):
    return client.post("/admin/login/?next=/admin/", {"username": name, "password": password}, **request)


@pytest.mark.django_db
def test_five_wrong_passwords_close_the_login_to_that_name_from_there(client):
    make_user(name="staff", is_staff=True)
    make_user(name="other", is_staff=True)
    assert [log_in(client, "guess").status_code for _ in range(5)] == [200, 200, 200, 200, 429]
    locked = log_in(client, "correct horse")
    assert locked.status_code == 429
    assert locked.content.decode() == "Too many failed logins. Try again in 15 minutes."
    assert log_in(Client(), "correct horse", REMOTE_ADDR="192.0.2.9").status_code == 302
    assert log_in(Client(), "correct horse", name="other").status_code == 302


@pytest.mark.django_db
def test_a_closed_login_opens_after_a_quarter_of_an_hour(client):
    make_user(name="staff", is_staff=True)
    for _ in range(5):
        log_in(client, "guess")
    assert log_in(client, "correct horse").status_code == 429
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=15, seconds=1))
    assert log_in(client, "correct horse").status_code == 302


@pytest.mark.django_db
def test_a_right_password_starts_the_count_again(client):
    make_user(name="staff", is_staff=True)
    for _ in range(2):
        assert [log_in(client, "guess").status_code for _ in range(4)] == [200] * 4
        assert log_in(client, "correct horse").status_code == 302


@pytest.mark.django_db
def test_a_locked_login_closes_no_token(client, settings):
    settings.API_PUBLIC = False
    user = make_user(name="staff", is_staff=True)
    call_command("drf_create_token", "staff")
    for _ in range(5):
        log_in(client, "guess")
    known = {"Authorization": f"Token {Token.objects.get(user=user).key}"}
    assert client.get("/api/KPIs/", headers=known).status_code == 200


@pytest.mark.django_db
def test_an_administrator_makes_tokens_in_the_admin(admin_client):
    user = make_user(name="reader")
    assert admin_client.post("/admin/authtoken/tokenproxy/add/", {"user": user.pk}).status_code == 302
    assert len(Token.objects.get(user=user).key) == 40


SECRET = "SELECT secret FROM somewhere"


@pytest.fixture
def failing_client(monkeypatch) -> Client:
    """A client of a site that fails as it reads the summaries."""

    def fail(self):
        raise DatabaseError(SECRET)

    monkeypatch.setattr(SummaryViewSet, "get_queryset", fail)
    monkeypatch.setattr(IntervalSummaryAdmin, "get_queryset", lambda self, request: fail(self))
    return Client(raise_request_exception=False)


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", "?format=json", "?format=csv", "?format=api", "?page_size=7"])
def test_a_failure_tells_the_client_nothing_of_the_inside(failing_client, query):
    response = failing_client.get(f"/api/intervals/{query}")
    assert response.status_code == 500
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {"error": "Server Error (500)"}


@pytest.mark.django_db
def test_a_failure_of_a_page_tells_nothing_of_the_inside_either(failing_client):
    failing_client.force_login(make_user("view_intervalsummary", is_staff=True))
    response = failing_client.get("/admin/kpis/intervalsummary/")
    assert response.status_code == 500
    assert SECRET not in response.content.decode()
    assert "Traceback" not in response.content.decode()


@pytest.mark.parametrize(
    ("address", "kind"), [("/api/KPIs/", "application/json"), ("/admin/login/", "text/html; charset=utf-8")]
)
def test_a_name_that_is_not_the_sites_is_refused(client, address, kind):
    response = client.get(address, headers={"Host": "elsewhere.example"})
    assert response.status_code == 400
    assert response.headers["Content-Type"] == kind
    assert "elsewhere" not in response.content.decode()
