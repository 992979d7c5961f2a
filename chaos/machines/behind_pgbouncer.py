"""Web, workers, and admin behind PgBouncer in transaction mode, with fewer sessions than processes."""

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import requests

from chaos.machines.pgbouncer import SESSIONS, pgbouncer
from chaos.machines.session_state import left_behind
from chaos.machines.stage import Load, staged, start_clients, url_of
from chaos.rows import query
from native.environment import ROOT
from native.services import Services

SECONDS = 20
PAGES = 200
BROWSERS = 8
_BOUNDS = "ALTER ROLE CURRENT_USER SET statement_timeout = '10s'; ALTER ROLE CURRENT_USER SET lock_timeout = '5s';"
_ADMIN = """
from django.contrib.auth import get_user_model
user = get_user_model().objects.create_superuser("admin", password="admin-of-this-run")
print(user.pk)
"""


def run() -> dict[str, bool]:
    with staged("pgbouncer", {"API_LOGIN_RATE": "1000/s"}) as services:
        direct = services.env["DATABASE_URL"]
        query(direct, _BOUNDS)
        user = _make_admin(services)
        with pgbouncer(direct) as through:
            start_clients(services, {"DATABASE_URL": through, "DATABASE_IS_POOLED": "1"})
            load = Load(services, SECONDS)
            pages = _open_admin_pages(url_of(services), user)
            promises = load.finish()
            print(f"\nadmin pages with {BROWSERS} browsers: {dict(pages)}")
            left = left_behind(through, sessions=SESSIONS)
            print(f"left in the {SESSIONS} sessions: {left}")
            services.stop("web", "worker", "webhook_worker", "beat")
    promises["every page of the admin is 200"] = pages.keys() == {200}
    promises["no session keeps anything of a client"] = not any(left.values())
    return {f"PgBouncer: {what}": holds for what, holds in promises.items()}


def _make_admin(services: Services) -> str:
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", _ADMIN]
    made = subprocess.run(command, cwd=ROOT, env=services.env, check=True, stdout=subprocess.PIPE, text=True)
    return made.stdout.strip()


def _open_admin_pages(url: str, user: str) -> Counter[int]:
    """Open admin pages. The page of a user lists permissions, for which Django would use a server-side cursor."""
    pages = [f"auth/user/{user}/change/", "classification/inference/"]

    def browse(pages: list[str]) -> list[int]:
        with requests.Session() as browser:
            login = f"{url}/admin/login/"
            token = browser.get(login, timeout=60).cookies["csrftoken"]
            form = {"username": "admin", "password": "admin-of-this-run", "csrfmiddlewaretoken": token}
            browser.post(login, form, headers={"Referer": login}, timeout=60)
            return [browser.get(f"{url}/admin/{page}", timeout=60, allow_redirects=False).status_code for page in pages]

    each = [pages[number % 2] for number in range(PAGES // BROWSERS)]
    with ThreadPoolExecutor(BROWSERS) as pool:
        return Counter(code for codes in pool.map(browse, [each] * BROWSERS) for code in codes)
