"""People who use the lab's pages: accounts with passwords, and a browser's HTTP without the browser."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pyotp

from catalog.client import lab_client
from catalog.records import AccountDraft, Role
from datalab.home import Home

PASSWORD = "four unrelated words here"
NEEDED = 'href="/account/second-factor?notice=needed"'
"""In the page that a decision without the second factor ends in."""


@dataclass(frozen=True)
class Person:
    """Somebody with an account and a password."""

    name: str
    role: Role
    organisation: str


def settle(home: Home, name: str, role: Role, organisation: str = "gbsg") -> Person:
    """Make an account and choose its password, as its owner would."""
    with lab_client(home, "operator") as client:
        invitation = client.invite(AccountDraft(name=name, role=role, organisation=organisation))
    with visit(home) as http:
        form = {"code": invitation.code, "password": PASSWORD, "again": PASSWORD}
        answer = http.post("/password", data=form)
        assert answer.headers["Location"] == "/sign-in?notice=password", answer.text
    return Person(name, role, organisation)


def visit(home: Home, **headers: str) -> httpx.Client:
    """Return what a browser does in HTTP: cookies, and where a request comes from."""
    url = home.address("lab")["url"]
    return httpx.Client(
        base_url=url,
        headers={"Origin": url, "Sec-Fetch-Site": "same-origin", **headers},
        trust_env=False,
        timeout=30,
    )


@contextmanager
def signed_in(home: Home, person: Person, **headers: str) -> Iterator[httpx.Client]:
    """Open a browser in which ``person`` is signed in."""
    with visit(home, **headers) as http:
        answer = http.post("/sign-in", data={"name": person.name, "password": PASSWORD, "next": "/datasets"})
        assert answer.status_code == 303, answer.text
        yield http


def give_second_factor(http: httpx.Client) -> pyotp.TOTP:
    """Set up a second factor for whoever is signed in, and return what makes its codes."""
    found = re.search(r'name="secret" value="([A-Z2-7]{32})"', http.get("/account/second-factor").text)
    assert found is not None
    totp = pyotp.TOTP(found[1])
    form = {"secret": found[1], "password": PASSWORD, "code": totp.now()}
    done = http.post("/account/second-factor", data=form)
    assert done.headers["Location"] == "/account?notice=second-factor", done.text
    return totp


def next_code(totp: pyotp.TOTP) -> str:
    """Return the code after the present one, which counts already: each counts once, and the present one was used."""
    return totp.at(int(time.time()) + 30)


def own_token(http: httpx.Client, scope: str) -> str:
    """Make an API token as whoever is signed in."""
    page = http.post("/account/tokens", data={"label": scope, "days": "7", "scope": scope})
    (made,) = set(re.findall(r"datalab_[A-Za-z0-9_-]{43}", page.text))
    return str(made)


def deciding_token(home: Home, person: Person) -> str:
    """Return an API token of a person's that decides: made in a session with a second factor."""
    with signed_in(home, person) as http:
        give_second_factor(http)
        return own_token(http, "decide")


def text_of(answer: httpx.Response) -> str:
    """Return the words of a page."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text)))
