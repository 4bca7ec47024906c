"""How errors leave: ``{"error": {"what", "where", "next_step"}}`` with a fitting status, never a trace."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from catalog.errors import ConflictError, TooLargeError, TooManyAttemptsError
from datalab.errors import BadInputError, DatalabError, IdentityError, NotFoundError, RefusedError

_log = structlog.get_logger()
_STATUS: tuple[tuple[type[DatalabError], HTTPStatus], ...] = (
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (TooManyAttemptsError, HTTPStatus.TOO_MANY_REQUESTS),
    (ConflictError, HTTPStatus.CONFLICT),
    (IdentityError, HTTPStatus.UNAUTHORIZED),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (RefusedError, HTTPStatus.FORBIDDEN),
    (BadInputError, HTTPStatus.BAD_REQUEST),
)
"""The first kind that an error is an instance of decides."""


def status_of(error: DatalabError) -> HTTPStatus:
    """Return the HTTP status that stands for an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def error_answer(error: DatalabError, *, challenge: str = "Bearer") -> JSONResponse:
    """Return an error as the API's answer; ``challenge`` is how an account is named where one is missing."""
    status = status_of(error)
    headers = {"WWW-Authenticate": f'{challenge} realm="Datalab"'} if status is HTTPStatus.UNAUTHORIZED else {}
    if isinstance(error, TooManyAttemptsError):
        headers["Retry-After"] = str(error.wait)
    body = {"what": error.what, "where": error.where, "next_step": error.next_step}
    # ``msg`` and ``status_code`` are where clients of GA4GH's services look
    return JSONResponse({"error": body, "msg": str(error), "status_code": status.value}, status, headers)


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error in the same form."""

    @app.exception_handler(DatalabError)
    async def datalab_error(_: Request, error: DatalabError) -> JSONResponse:
        if status_of(error) is HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("failed", error=str(error))
        return error_answer(error)

    @app.exception_handler(RequestValidationError)
    async def not_valid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return error_answer(
            BadInputError(
                f"The request is not valid: {first['msg']}.",  # names the rule; the value stays out
                where=".".join(map(str, first["loc"])),
                next_step="Correct this field; openapi.json describes it.",
            )
        )

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        body = {
            "what": f"{error.detail}.",
            "where": f"{request.method} {request.url.path}",
            "next_step": None,
        }
        return JSONResponse({"error": body}, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return error_answer(BadInputError("The request broke off before all of it had arrived."))

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        _log.error("unexpected", kind=type(error).__name__)
        body = {
            "what": "The lab server met an unexpected problem.",
            "where": None,
            "next_step": "Ask the lab's operator to look at its log.",
        }
        return JSONResponse({"error": body}, HTTPStatus.INTERNAL_SERVER_ERROR)
