"""Signing in at a real OpenID provider (npm's oidc-provider, a process of its own)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from catalog.client import lab_client
from catalog.records import Role
from catalog.service import SERVICE
from datalab.home import Home
from datalab.service import free_ports
from datalab.supervisor import Supervisor
from tests.integration.catalog.conftest import home_beside
from tests.support.pages import PASSWORD, settle, signed_in, text_of, visit

ROOT = Path(__file__).parents[3]
PROVIDER = ROOT / "tests" / "support" / "provider.mjs"


@dataclass(frozen=True)
class Provider:
    """A provider that runs, and the lab that trusts it."""

    issuer: str
    lab: Home

    def follow(self, asked: httpx.Response, name: str) -> str:
        """Do at the provider what a browser would, as ``name``; return the path to come back with."""
        with httpx.Client(trust_env=False) as browser:
            answer = browser.get(asked.headers["Location"])
            person = answer.headers["Location"]
            answer = browser.get(f"{self.issuer}{urlsplit(person).path}", params={"name": name})
            answer = browser.get(answer.headers["Location"])
        back = urlsplit(answer.headers["Location"])
        assert back.path == "/sign-in/oidc/callback", answer.text
        return f"{back.path}?{back.query}"


@contextmanager
def running(redirect: str) -> Iterator[str]:
    node = shutil.which("node")
    assert node is not None, "the test's provider needs node"
    command = [node, str(PROVIDER), redirect]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            lines = (line.strip() for line in process.stdout)
            yield next(line for line in lines if line.startswith("http://127.0.0.1"))
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def provider(lab_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    home = home_beside(lab_home, tmp_path_factory.mktemp("oidc"))
    (port,) = free_ports("127.0.0.1", 1)
    with running(f"http://127.0.0.1:{port}/sign-in/oidc/callback") as issuer, Supervisor() as own:
        (home.path / "datalab.toml").write_text(
            f'[ports]\nlab = {port}\n[oidc]\nissuer = "{issuer}"\nclient_id = "datalab"\nname = "Uni login"\n'
            'acr = ["https://refeds.org/profile/mfa"]\n'
        )
        (home.folder("secrets") / "oidc-client-secret").write_text("secret-of-the-lab")
        own.start(SERVICE.name, SERVICE.module, home)
        yield Provider(issuer, home)


def test_an_identity_opens_an_account_once_its_owner_has_linked_the_two(provider: Provider) -> None:
    person = settle(provider.lab, "rosa", Role.OPERATOR, "lab")
    with visit(provider.lab) as http:
        assert "Sign in with Uni login" in http.get("/sign-in").text
        asked = http.get("/sign-in/oidc?next=/runs")
        query = parse_qs(urlsplit(asked.headers["Location"]).query)
        assert query["code_challenge_method"] == ["S256"]
        stranger = http.get(provider.follow(asked, "rosa@uni"))
        assert (stranger.status_code, "linked to no account" in stranger.text) == (403, True)
        assert http.get("/runs").status_code == 303
    with signed_in(provider.lab, person) as http:
        assert "Link your identity there" in http.get("/account").text
        assert "This is not your password." in http.post("/account/identity", data={"password": "guessed"}).text
        linked = http.get(provider.follow(http.post("/account/identity", data={"password": PASSWORD}), "rosa@uni"))
        assert 'content="0; url=/account?notice=linked"' in linked.text
        assert "✓ linked" in text_of(http.get("/account"))
    with visit(provider.lab) as http:
        entered = http.get(provider.follow(http.get("/sign-in/oidc?next=/runs"), "rosa@uni"))
        assert 'content="0; url=/runs"' in entered.text
        assert http.get("/runs").status_code == 200
        refused = http.get("/accounts/nobody/withdraw")
        assert refused.headers["Location"].startswith("/account/second-factor")
        assert http.post("/account/identity/remove").headers["Location"] == "/account?notice=unlinked"
    with visit(provider.lab) as http:
        assert http.get(provider.follow(http.get("/sign-in/oidc"), "rosa@uni")).status_code == 403
    with lab_client(provider.lab, "operator") as client:
        done = [one.action for one in client.events() if one.actor == "rosa"]
    assert [one for one in done if "link" in one] == ["account.linked", "account.unlinked"]


@pytest.mark.parametrize("identity", ["otto-mfa", "olga-acr"], ids=["amr", "acr"])
def test_what_the_provider_says_of_a_second_factor_counts(provider: Provider, identity: str) -> None:
    person = settle(provider.lab, identity[:4], Role.OPERATOR, "lab")
    with signed_in(provider.lab, person) as http:
        http.get(provider.follow(http.post("/account/identity", data={"password": PASSWORD}), identity))
    with visit(provider.lab) as http:
        http.get(provider.follow(http.get("/sign-in/oidc"), identity))
        assert http.get("/accounts/nobody/withdraw").status_code == 200


def test_an_answer_counts_once_and_in_the_browser_that_asked(provider: Provider) -> None:
    person = settle(provider.lab, "lena", Role.RESEARCHER, "uni")
    with signed_in(provider.lab, person) as http:
        http.get(provider.follow(http.post("/account/identity", data={"password": PASSWORD}), "lena@uni"))
    with visit(provider.lab) as mine, visit(provider.lab) as other:
        back = provider.follow(mine.get("/sign-in/oidc"), "lena@uni")
        assert other.get(back).status_code == 401
        other.get("/sign-in/oidc")
        assert other.get(back).status_code == 401
        for _ in range(20):  # however many others begin
            other.get("/sign-in/oidc")
        assert mine.get(back).status_code == 200
        assert mine.get(back).status_code == 401
        forged = provider.follow(mine.get("/sign-in/oidc"), "lena@uni").replace("code=", "code=x")
        assert mine.get(forged).status_code == 401
    taken = settle(provider.lab, "lars", Role.RESEARCHER, "uni")
    with signed_in(provider.lab, taken) as http:
        asked = http.post("/account/identity", data={"password": PASSWORD})
        assert http.get(provider.follow(asked, "lena@uni")).status_code == 409
    with lab_client(provider.lab, "operator"), visit(provider.lab) as http:
        assert http.post("/sign-in", data={"name": "lars", "password": PASSWORD}).status_code == 303
