"""People who use the lab's pages: accounts with passwords, and a browser's HTTP without the browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from catalog.client import lab_client
from catalog.records import AccountDraft, Role
from datalab.home import Home

PASSWORD = "four unrelated words here"


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
        base_url=url, headers={"Origin": url, "Sec-Fetch-Site": "same-origin", **headers}, trust_env=False
    )


@contextmanager
def signed_in(home: Home, person: Person, **headers: str) -> Iterator[httpx.Client]:
    """Open a browser in which ``person`` is signed in."""
    with visit(home, **headers) as http:
        answer = http.post("/sign-in", data={"name": person.name, "password": PASSWORD, "next": "/datasets"})
        assert answer.status_code == 303, answer.text
        yield http
