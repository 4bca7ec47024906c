"""What a browser shows when something fails that nobody expected, and when the lab cannot do what it should."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from catalog.web.pages import errors
from catalog.web.pages.language import NAMES, language
from datalab.errors import ServiceFailedError

SECRET = "/srv/lab/secrets/token"


@pytest.fixture
def app() -> FastAPI:
    """Pages of which two fail."""
    made = FastAPI(openapi_url=None)
    made.state.lab = SimpleNamespace()
    made.state.public_url = None
    errors.install(made)

    @made.get("/broken")
    def broken() -> None:
        raise RuntimeError(SECRET)

    @made.get("/away")
    def away() -> None:
        raise ServiceFailedError("The gateway is not running.", next_step="Start it: datalab up")

    return made


def browser(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://lab.example")


@pytest.mark.parametrize("code", NAMES)
async def test_a_failure_that_nobody_expected_has_a_page_that_tells_nothing_of_it(app: FastAPI, code: str) -> None:
    async with browser(app) as http:
        page = await http.get("/broken", headers={"Accept-Language": code})
    assert page.status_code == 500
    assert f'<html lang="{code}">' in page.text
    assert language(code).words("Something went wrong in the lab") in page.text
    assert "nothing you had saved is lost" in page.text or code != "en"
    assert 'href="/datasets"' in page.text
    assert SECRET not in page.text
    assert "RuntimeError" not in page.text


async def test_a_failure_that_the_lab_can_explain_is_explained(app: FastAPI) -> None:
    async with browser(app) as http:
        page = await http.get("/away")
    assert page.status_code == 500
    assert "The gateway is not running." in page.text
    assert "datalab up" in page.text


async def test_an_address_that_does_not_exist_has_a_page(app: FastAPI) -> None:
    async with browser(app) as http:
        page = await http.get("/nowhere")
    assert (page.status_code, "There is nothing here" in page.text) == (404, True)
