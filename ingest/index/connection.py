"""The client: made from the settings, its failures put into our words."""

import base64
import binascii
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import certifi
import elastic_transport
import elasticsearch
from elastic_transport.client_utils import DEFAULT, DefaultType

from ingest.errors import ElasticsearchRefusedError, ElasticsearchUnavailableError, IngestError, UsageError
from ingest.settings import Settings, user_of
from ingest.text import without

if TYPE_CHECKING:
    from elastic_transport._node import NodeApiResponse

REQUEST_TIMEOUT = 60
"""Seconds until a request without an answer counts as lost."""

TRANSIENT = (429, 502, 503, 504)
"""Statuses of requests and documents that a later attempt may escape."""


class Node(elastic_transport.Urllib3HttpNode):
    """The client's own way to a node, which takes an answer that broke off for what it is, and keeps secrets.

    What answers may be anything, and repeat in its complaint what it was asked with.
    """

    def perform_request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: elastic_transport.HttpHeaders | None = None,
        request_timeout: DefaultType | float | None = DEFAULT,
    ) -> "NodeApiResponse":
        """The base class's, with its errors."""
        try:
            answer = super().perform_request(method, target, body, headers, request_timeout)
        except elastic_transport.TlsError as error:
            if _is_about_trust(error):
                raise
            raise elastic_transport.ConnectionError(error.message, errors=error.errors) from error
        if not _is_whole(answer.meta.headers):
            raise elastic_transport.ConnectionError("the answer broke off")
        if answer.meta.status >= 400:
            sent = elastic_transport.HttpHeaders(self.config.headers)
            sent.update(headers or {})
            return type(answer)(answer.meta, _without_credentials(answer.body, sent.get("authorization") or ""))
        return answer


def _without_credentials(body: bytes, authorization: str) -> bytes:
    token = authorization.partition(" ")[2]
    try:
        plain = base64.b64decode(token, validate=True).decode("utf-8", "surrogateescape")
    except binascii.Error:
        plain = ""
    text = body.decode("utf-8", "surrogateescape")
    return without(text, (token, plain, plain.partition(":")[2])).encode("utf-8", "surrogateescape")


def _is_whole(headers: elastic_transport.HttpHeaders) -> bool:
    """Whether what follows the headers had a stated end.

    Python's http.client takes the end of a connection for the end of the headers, and of a body of unstated length.
    """
    return (
        (headers.get("content-length") or "").isdecimal()
        or headers.get("transfer-encoding") == "chunked"
        or headers.get("connection") == "close"
    )


def _is_about_trust(error: elastic_transport.TlsError) -> bool:
    """Whether it is no connection that broke off."""
    causes = [cause for each in error.errors for cause in (each, *each.args)]
    return not any(
        isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError) for cause in causes
    )


def connect(
    urls: tuple[str, ...],
    *,
    api_key: str | None = None,
    username: str | None = None,
    password: str | None = None,
    ca_certs: str | None = None,
) -> elasticsearch.Elasticsearch:
    """Make a client. Nothing is sent yet.

    Where there are several nodes, it asks another one if one cannot be reached. Else it repeats nothing by itself: who
    sends decides, and pauses.

    :raises UsageError: a URL or the CA file makes no sense
    """
    credentials = (username, password) if username is not None and password is not None else None
    try:
        return elasticsearch.Elasticsearch(
            list(urls),
            node_class=Node,
            api_key=api_key,
            basic_auth=credentials,
            ssl_context=_trusting(ca_certs) if any(url.startswith("https:") for url in urls) else DEFAULT,
            request_timeout=REQUEST_TIMEOUT,
            serializers={"application/json": elasticsearch.OrjsonSerializer()},
            # A node that cannot be reached is no reason to pause while there are others.
            max_retries=len(urls) - 1,
            retry_on_status=(),
            retry_on_timeout=False,
        )
    except (ValueError, OSError) as error:
        # The client's own message may quote the URL, credentials and all.
        reason = "" if isinstance(error, ValueError) else f" ({error})"
        raise UsageError(f"ES_URL or ES_CA_CERTS cannot be used{reason}", "correct them") from None


def of(settings: Settings) -> elasticsearch.Elasticsearch:
    """A client of the Elasticsearch that the settings name, see `connect`."""
    return connect(
        settings.es_url,
        api_key=settings.es_api_key,
        username=settings.es_username,
        password=settings.es_password,
        ca_certs=None if settings.es_ca_certs is None else str(settings.es_ca_certs),
    )


def _trusting(ca_certs: str | None) -> ssl.SSLContext:
    """What checks certificates: by a file alone (the client would add the system's), or by the system and certifi."""
    context = ssl.create_default_context(cafile=ca_certs)
    if ca_certs is None:
        context.load_verify_locations(certifi.where())
    return context


def unprotected(urls: tuple[str, ...], *, credentials: bool) -> list[str]:
    """Those of some URLs, as they may be shown, on the way to which others may read what lets us in.

    :param credentials: there are some besides those in the URLs
    """
    ways = [(url, urlsplit(url)) for url in urls if credentials or user_of(url)]
    return [without_credentials(url) for url, way in ways if way.scheme == "http" and not _is_loopback(way.hostname)]


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host is not None and (host == "localhost" or host.endswith(".localhost"))


def without_credentials(url: str) -> str:
    """A URL as it may be shown."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")


def shown(client: elasticsearch.Elasticsearch) -> str:
    """Where a client sends, as it may be shown."""
    return ", ".join(without_credentials(node.base_url) for node in client.transport.node_pool.all())


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, elastic_transport.TlsError):
        return False
    if isinstance(error, elasticsearch.ApiError):
        return error.meta.status in TRANSIENT
    return isinstance(error, elastic_transport.ConnectionError | elastic_transport.ConnectionTimeout)


@contextmanager
def explained(client: elasticsearch.Elasticsearch) -> Iterator[None]:
    """Turn what the client raises in this block into an `IngestError`."""
    try:
        yield
    except (elasticsearch.ApiError, elastic_transport.TransportError, elasticsearch.UnsupportedProductError) as error:
        raise explain(error, shown(client)) from None


def explain(error: Exception, where: str) -> IngestError:
    """The failure of a request to `where`, in our words."""
    if isinstance(error, elasticsearch.ApiError):
        return _explain_status(error, where)
    if isinstance(error, elastic_transport.TlsError):
        return ElasticsearchRefusedError(
            f"No trusted connection to Elasticsearch at {where} ({_innermost(error)})",
            "set ES_CA_CERTS to the file of the authority that signed its certificate, and use the name that it is for",
        )
    if isinstance(error, elastic_transport.ConnectionTimeout):
        return ElasticsearchUnavailableError(
            f"Elasticsearch at {where} does not answer in time", "look at its load and its log"
        )
    if isinstance(error, elastic_transport.ConnectionError):
        return ElasticsearchUnavailableError(
            f"Elasticsearch at {where} cannot be reached ({_innermost(error)})", "check ES_URL and that it runs"
        )
    return ElasticsearchRefusedError(f"What answers at {where} is not Elasticsearch", "check ES_URL")


def _explain_status(error: elasticsearch.ApiError, where: str) -> IngestError:
    why = reason(error)
    if is_transient(error):
        return ElasticsearchUnavailableError(
            f"Elasticsearch at {where} cannot do it now ({why})", "look at its load, its disk and its log"
        )
    if not isinstance(error.body, dict):
        return ElasticsearchRefusedError(f"What answers at {where} is not Elasticsearch ({why})", "check ES_URL")
    if error.meta.status == 401:
        return ElasticsearchRefusedError(
            f"Elasticsearch at {where} does not accept the credentials",
            "check ES_API_KEY, or ES_USERNAME and ES_PASSWORD",
        )
    if error.meta.status == 403:
        return ElasticsearchRefusedError(
            f"Elasticsearch at {where} forbids it ({why})", "the credentials need more privileges, see the README"
        )
    if "media_type_header_exception" in why or error.meta.status == 406:
        return ElasticsearchRefusedError(f"The Elasticsearch at {where} is too old", "version 8 or later is needed")
    return ElasticsearchRefusedError(f"Elasticsearch at {where} refused ({why})", "its log may say more")


def reason(error: elasticsearch.ApiError) -> str:
    """Status, type and reason of the first root cause."""
    body = error.body
    cause = body.get("error", {}) if isinstance(body, dict) else {}
    if isinstance(cause, dict):
        roots = cause.get("root_cause") or [cause]
        words = f"{roots[0].get('type', '')}: {roots[0].get('reason', '')}".strip(": ")
    else:
        words = str(cause)
    return f"{error.meta.status} {words}".strip()[:500]


def _innermost(error: elastic_transport.TransportError) -> str:
    """What the network said: the client wraps urllib3's error, whose text names a Python object first."""
    words = str(error.errors[0] if error.errors else error.message)
    return words.rpartition(">: ")[2].rpartition("object at ")[2].partition("): ")[2].rstrip(")") or words[:300]
