"""Fetching a page of another catalogue: bounded in size and time, and only if it has changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from threading import Event, Timer
from typing import Literal, get_args

import httpx

from catalog.harvest.reach import Reach
from catalog.harvest.records import SeenPage
from datalab.errors import BadInputError, RefusedError, ServiceFailedError

Form = Literal["turtle", "json-ld", "xml"]
FORMS: tuple[Form, ...] = get_args(Form)
"""Turtle (and N-Triples, which is part of it), JSON-LD, RDF/XML."""
MAX_BYTES = 20 << 20
"""Of one page."""
_SECONDS = 60.0
"""In which a page has to have come."""
_REDIRECTS = 5
_ACCEPT = "text/turtle, application/ld+json;q=0.9, application/rdf+xml;q=0.8, application/n-triples;q=0.7"
_MEDIA: dict[str, Form] = {
    "text/turtle": "turtle",
    "application/x-turtle": "turtle",
    "application/n-triples": "turtle",
    "application/ld+json": "json-ld",
    "application/json": "json-ld",
    "application/rdf+xml": "xml",
    "application/xml": "xml",
    "text/xml": "xml",
}
_ENDINGS: dict[str, Form] = {
    ".ttl": "turtle", ".nt": "turtle", ".jsonld": "json-ld", ".json": "json-ld", ".rdf": "xml", ".xml": "xml",
}  # fmt: skip


@dataclass(frozen=True)
class Document:
    """A page as it came.

    Attributes:
        address: that it came from; what it names relatively is named from here.
        form: how it is written.
        data: its bytes.
        etag: as the server sent it, and ``modified`` likewise.
    """

    address: str
    form: Form
    data: bytes
    etag: str | None = None
    modified: str | None = None


def fetch(reach: Reach, address: str, seen: SeenPage | None, stopped: Event) -> Document | None:
    """Return a page; None where it is as it was when it was last seen.

    Each redirect is checked like the first address. No cookies, no credentials, no proxy.

    Raises:
        RefusedError: the address, or one that it leads to, may not be fetched from.
        ServiceFailedError: the server does not answer as it should.
        BadInputError: the page is too large or in no form that is read here.
    """
    ends = time.monotonic() + _SECONDS
    timeout = httpx.Timeout(10.0)
    with httpx.Client(trust_env=False, timeout=timeout, follow_redirects=False) as client, _closed_after(client):
        for _ in range(_REDIRECTS + 1):
            url = reach.check(address)
            try:
                answer = client.send(_request(client, url, reach.resolve(url), seen), stream=True)
                try:
                    if not answer.has_redirect_location:
                        return _document(answer, address, seen, ends, stopped)
                    address = str(url.join(answer.headers["Location"]))
                finally:
                    answer.close()
            except (
                httpx.HTTPError,
                httpx.InvalidURL,
                RuntimeError,
            ) as error:  # RuntimeError: it was closed, being late
                raise ServiceFailedError(
                    f"The catalogue does not answer ({type(error).__name__}).",
                    where=_told(address),
                    next_step="Try again later, or check the address.",
                ) from error
    raise ServiceFailedError("The catalogue sends from one address to the next.", where=_told(address))


def form_of(media_type: str, name: str) -> Form:
    """Return how a document is written, by its media type or, where that tells nothing, by its name's ending.

    Raises:
        BadInputError: it is in no form that is read here.
    """
    kind = media_type.partition(";")[0].strip().lower()
    found = _MEDIA.get(kind)
    if found is None and kind in {"", "text/plain", "application/octet-stream"}:
        found = _ENDINGS.get(PurePosixPath(name).suffix.lower())
    if found is None:
        raise BadInputError(
            "This is not DCAT-AP in Turtle, JSON-LD or RDF/XML.",
            where=_told(name),
            next_step="Name the address of the catalogue's RDF, not of its page for people.",
        )
    return found


@contextmanager
def _closed_after(client: httpx.Client) -> Iterator[None]:
    """Close a client when its time is over, whatever it is waiting for: its timeouts are for single waits."""
    timer = Timer(_SECONDS, client.close)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _request(client: httpx.Client, url: httpx.URL, ip: str, seen: SeenPage | None) -> httpx.Request:
    """Return a request that goes to an IP address, in the name of its host; the certificate has to be the host's."""
    headers = {"Host": url.netloc.decode("ascii"), "Accept": _ACCEPT, "Accept-Encoding": "identity"}
    if seen is not None and seen.etag is not None:
        headers["If-None-Match"] = seen.etag
    elif seen is not None and seen.modified is not None:
        headers["If-Modified-Since"] = seen.modified
    return client.build_request(
        "GET",
        url.copy_with(host=ip),
        headers=headers,
        extensions={"sni_hostname": url.raw_host.decode("ascii").rstrip(".")},
    )


def _document(
    answer: httpx.Response, address: str, seen: SeenPage | None, ends: float, stopped: Event
) -> Document | None:
    if answer.status_code == 304 and seen is not None:
        return None
    if answer.status_code != 200:
        raise ServiceFailedError(
            f"The catalogue answers with status {answer.status_code}.",
            where=_told(address),
            next_step="Check the address.",
        )
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BadInputError("The catalogue sends a packed page that was not asked for.", where=_told(address))
    form = form_of(answer.headers.get("Content-Type", ""), httpx.URL(address).path)
    data = bytearray()
    for piece in answer.iter_raw():
        data += piece
        if len(data) > MAX_BYTES:
            raise BadInputError(
                f"A page of the catalogue has more than {MAX_BYTES >> 20} MiB.",
                where=_told(address),
                next_step="Ask for smaller pages, where the catalogue offers that.",
            )
        if time.monotonic() > ends:
            raise ServiceFailedError(f"A page took longer than {_SECONDS:.0f} s.", where=_told(address))
        if stopped.is_set():
            raise RefusedError("The lab is stopping.")
    return Document(address, form, bytes(data), _header(answer, "ETag"), _header(answer, "Last-Modified"))


def _header(answer: httpx.Response, name: str) -> str | None:
    value = answer.headers.get(name, "").strip()
    return value if 0 < len(value) <= 300 and value.isascii() and value.isprintable() else None


def _told(address: str) -> str:
    """Return an address as messages tell it: without what might be a secret in its query."""
    return address.partition("?")[0][:300]
