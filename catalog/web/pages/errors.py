"""How errors look in a browser: what happened and what to do, in the reader's language, with a fitting status."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from catalog.errors import TooManyAttemptsError
from catalog.web.errors import status_of
from catalog.web.pages.language import mark
from catalog.web.pages.page import SignInNeededError, form_of, open_page
from datalab.errors import DatalabError

_log = structlog.get_logger()
_SAID = {
    HTTPStatus.BAD_REQUEST: (
        mark("This request cannot be understood"),
        mark("Go back, check what you have written, and send it again."),
    ),
    HTTPStatus.FORBIDDEN: (
        mark("You may not do this"),
        mark("Your account's role does not allow it, or the rules for this data do not. The operator can say who may."),
    ),
    HTTPStatus.NOT_FOUND: (
        mark("There is nothing here"),
        mark("The address may be mistyped, or what was here is gone. Look for it in the list of datasets."),
    ),
    HTTPStatus.CONFLICT: (
        mark("Somebody else was faster"),
        mark("What you wanted to change has changed meanwhile. Open it again and repeat your change."),
    ),
    HTTPStatus.UNPROCESSABLE_ENTITY: (
        mark("Something in this request is not valid"),
        mark("Go back and correct the field that is named below."),
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        mark("This is too large"),
        mark("Shorten what you have written and send it again."),
    ),
    HTTPStatus.TOO_MANY_REQUESTS: (
        mark("That was too often"),
        mark("Wait a moment and try again. The lab answers everybody in turn."),
    ),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        mark("This page cannot be used like this"),
        mark("Open the page and send its form from there."),
    ),
}
_UNEXPECTED = (
    mark("Something went wrong in the lab"),
    mark("It was not your doing, and nothing you had saved is lost. Try again; if it stays, tell the operator when."),
)

_SECRET = frozenset({"password", "again", "secret", "code"})
"""Fields that no page repeats."""


def install(app: FastAPI) -> None:
    """Make ``app`` show every error as a page."""
    app.exception_handler(SignInNeededError)(_sign_in_needed)

    @app.exception_handler(DatalabError)
    async def datalab_error(request: Request, error: DatalabError) -> Response:
        status = status_of(error)
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("failed", error=str(error))
        answer = await _shown(request, status, str(error))
        if isinstance(error, TooManyAttemptsError):
            answer.headers["Retry-After"] = str(error.wait)
        return answer

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        if first["loc"][0] == "path":  # no such address can exist
            return await _shown(request, HTTPStatus.NOT_FOUND, "")
        field = ".".join(map(str, first["loc"][1:]))
        return await _shown(request, HTTPStatus.UNPROCESSABLE_ENTITY, f"{field}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        return await _shown(request, HTTPStatus(error.status_code), "")

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        _log.error("unexpected", kind=type(error).__name__, path=request.url.path)
        return await _shown(request, HTTPStatus.INTERNAL_SERVER_ERROR, "")


async def _sign_in_needed(request: Request, error: SignInNeededError) -> Response:
    page = await open_page(request)
    if request.headers.get("HX-Request"):  # the whole page goes to the form, not a part of it
        return Response(status_code=204, headers={"HX-Redirect": error.address})
    if fields := await _written(request):
        return page.show("sign_in_again.html", status=401, address=error.address, fields=fields)
    return page.go(error.address)


async def _written(request: Request) -> Mapping[str, str]:
    """Return the fields of a form that cannot be taken yet, for it to be sent again; none where one is a secret."""
    if request.method != "POST":
        return {}
    try:
        fields = await form_of(request)
    except DatalabError:  # no form, or none that would be taken
        return {}
    return {} if fields.keys() & _SECRET else fields


async def _shown(request: Request, status: HTTPStatus, details: str) -> Response:
    title, advice = _SAID.get(status, _UNEXPECTED)
    page = await open_page(request)
    return page.show("error.html", status=status, code=int(status), title=title, advice=advice, details=details)
