"""One connection to a Hub: timeouts everywhere, retries where they are safe, errors in one line without the token."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from dfar_toolkit.errors import HubError

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

_T = TypeVar("_T")
_WAIT: Final = 90.0  # seconds: the longest wait that a Hub may ask for
_PASSING: Final = (408, 425, 429, 500, 502, 503, 504)
_TOKEN: Final = re.compile(r"hf_[A-Za-z0-9]{8,}|(?i:bearer)\s+\S+")
_SHORTEST: Final = 6  # characters of a token
_WORDS: Final = {
    401: "the Hub does not know who you are; log in with `hf auth login`, or set HF_TOKEN",
    403: "your token may not do this; it needs write access to this namespace",
    404: "there is no such repository, or your token may not see it",
    409: "it is there already",
    412: "somebody else has committed since",
    413: "the Hub says it is too large",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait and how often to try: seconds to connect, for each read or write, tries, first pause."""

    connect: float = 10.0
    read: float = 60.0
    tries: int = 4
    pause: float = 1.0


def connect(*, endpoint: str | None = None, token: str | None = None, patience: Patience | None = None) -> HfApi:
    """The client of a Hub with explicit timeouts, which it has none of by itself.

    Args:
        endpoint: Address; None means the one of the environment (``HF_ENDPOINT``).
        token: Token; None means that of the usual places (``HF_TOKEN``, ``hf auth login``).
        patience: Timeouts.

    Returns:
        The client. Its timeouts hold for every request of this process that goes through ``huggingface_hub``.

    Raises:
        HubError: The address is none of a Hub.
    """
    _check_endpoint(endpoint or os.environ.get("HF_ENDPOINT") or "https://huggingface.co")  # their import reads it
    import httpx2
    from huggingface_hub import HfApi, set_client_factory
    from huggingface_hub.utils import logging
    from huggingface_hub.utils._http import hf_request_event_hook

    how = patience or Patience()
    timeout = httpx2.Timeout(how.read, connect=how.connect)

    def with_timeout(request: httpx2.Request) -> None:
        # many calls of the clients ask for no timeout at all, which outranks that of the client
        if not any((request.extensions.get("timeout") or {}).values()):
            request.extensions["timeout"] = timeout.as_dict()

    def client() -> httpx2.Client:
        hooks: dict[str, list[Callable[..., Any]]] = {
            "request": [hf_request_event_hook, with_timeout],
            "response": [_no_endless_wait],
        }
        return httpx2.Client(event_hooks=hooks, follow_redirects=True, timeout=timeout)

    set_client_factory(client)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # its warnings show the addresses of uploads, which are signed
    return HfApi(endpoint=endpoint, token=token, library_name="dfar-toolkit")


def _check_endpoint(endpoint: str) -> None:
    """Refuse an address that no request could go to, or that holds a password, which messages and cards would show."""
    try:
        parts = urlsplit(endpoint)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        secret = "@" in parts.netloc
    except ValueError:
        right, secret = False, "@" in endpoint
    if secret or not right:
        found = "one with a name or password in it" if secret else repr(without_token(endpoint)[:80])
        raise HubError(f"HF_ENDPOINT: wanted the address of a Hub, such as https://huggingface.co, found {found}.")


def _no_endless_wait(response: httpx2.Response) -> None:
    """Stop where the client would silently sleep as long as it is told, or ask for ever."""
    wait = asked_to_wait_in(response.headers) if response.status_code in _PASSING else None
    if wait is not None and wait > _WAIT:
        raise HubError(f"the Hub asks to wait {wait:.0f} seconds (it said {response.status_code}); try again then.")
    if response.status_code == 409 and response.request.url.path.endswith("/repos/create"):
        response.read()
        if "conflicting operation is in progress" in response.text:  # the client asks again at once, without an end
            raise HubError("the Hub is busy with another of your repositories; try again in a minute.")


def without_token(text: str) -> str:
    """A text with anything that looks like a token struck out.

    Example:
        >>> without_token("got hf_abcdefghijklmnop from Bearer xyz")
        'got *** from ***'
    """
    own = os.environ.get("HF_TOKEN", "").strip()  # a Hub of one's own may give tokens of another shape
    return _TOKEN.sub("***", text.replace(own, "***") if len(own) >= _SHORTEST else text)


@contextmanager
def hub_errors(doing: str) -> Iterator[None]:
    """Turn what the clients raise into :class:`HubError`: one line, what was being done, and how to mend it.

    Args:
        doing: What was tried, such as ``reading org/name``.
    """
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        said = explained(error)
        if said is None:
            raise
        raise HubError(f"{doing}: {said}.") from None  # the original may show headers


def explained(error: BaseException) -> str | None:
    """What an error of the clients means, in words without the token; None where it is none of theirs."""
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return "offline mode is on (HF_HUB_OFFLINE), so the Hub was not asked"
    if isinstance(error, LocalEntryNotFoundError):  # a download that could not even begin: what stopped it is told
        stopped = error.__cause__ and explained(error.__cause__)
        return stopped or "the file is not in the cache, and the Hub was not asked"
    if isinstance(error, RemoteEntryNotFoundError):
        return "there is no such file"
    if _incomplete(error):
        return "a file came incomplete"

    error = _underlying(error)
    if isinstance(error, httpx2.TimeoutException):
        return "the Hub did not answer in time; try again later"
    if isinstance(error, httpx2.TooManyRedirects):
        return "the Hub, or a proxy before it, sends in a circle; look at HF_ENDPOINT and the proxy"
    if isinstance(error, httpx2.DecodingError):
        return "the Hub answered with something that the client cannot read; try again later"
    if isinstance(error, (httpx2.TransportError, httpx2.InvalidURL)):
        return f"the connection failed ({type(error).__name__}: {without_token(str(error)) or 'no reason given'})"
    if isinstance(error, OfflineModeIsEnabled):
        return "this needs the network, and HF_HUB_OFFLINE is set"
    if wrong := _refused_card(error):
        return f"the Hub refuses the head of README.md ({without_token(wrong)[:200]})"
    if isinstance(error, LocalTokenNotFoundError):
        return "no token was found; log in with `hf auth login`, or set HF_TOKEN"
    if isinstance(error, RevisionNotFoundError):
        return "there is no such revision"
    if isinstance(error, GatedRepoError):
        return "access must be asked for on the repository's page first"
    if isinstance(error, HFValidationError):
        return without_token(str(error).splitlines()[0]).rstrip(".")
    status = status_of(error)
    if status is not None:
        server = getattr(error, "server_message", None)
        told = f" (it says: {without_token(str(server).splitlines()[0])[:200]})" if server else ""
        return f"{_WORDS.get(status, f'the Hub answered {status}')}{told}"
    if isinstance(error, HfHubHTTPError) or unreadable(error):
        return "the Hub answered with something that the client cannot read; try again later"
    return None


def unreadable(error: BaseException) -> bool:
    """Whether the clients stumbled over an answer: broken JSON, or JSON that lacks what they look for."""
    if type(error).__name__ == "JSONDecodeError":  # such as an HTML page of a proxy
        return True
    if not isinstance(error, (KeyError, TypeError, ValueError, AttributeError, IndexError)):
        return False
    if status_of(error) is not None or type(error).__name__ == "HFValidationError" or _refused_card(error):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = str(trace.tb_frame.f_globals.get("__name__", "")) if trace else ""
    return name.partition(".")[0] in ("huggingface_hub", "httpx2", "json", "codecs")


def _underlying(error: BaseException) -> BaseException:
    """What a failed download failed of: the client says only that it did."""
    cause = error.__cause__
    hidden = type(error) is ValueError or type(error).__name__ == "LocalEntryNotFoundError"
    return cause if hidden and cause is not None else error


def _refused_card(error: BaseException) -> str:
    """What the Hub found wrong with the head of a card; empty where it is not about that."""
    lines = str(error).splitlines() if isinstance(error, ValueError) else []
    return " ".join(lines[1:]) or "no reason given" if lines[:1] == ["Invalid metadata in README.md."] else ""


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error of the clients; None where no answer came."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def passing(error: BaseException) -> bool:
    """Whether an error may pass by itself: no answer, too many requests, a fault of the server."""
    import httpx2

    if isinstance(error, (httpx2.TimeoutException, httpx2.TransportError)) or _incomplete(error):
        return True
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:  # a download that could not begin
        return passing(error.__cause__)
    return status_of(error) in _PASSING or unreadable(error)


def _incomplete(error: BaseException) -> bool:
    """Whether a download had another size than announced; the clients raise a plain OSError then."""
    return type(error) is OSError and "onsistency check" in str(error)


def asked_to_wait(error: BaseException) -> float | None:
    """Seconds that the Hub asks to wait, from ``Retry-After`` or ``RateLimit``; None where it asks for nothing.

    Example:
        >>> asked_to_wait(ValueError("x")) is None
        True
    """
    return asked_to_wait_in(getattr(getattr(error, "response", None), "headers", None) or {})


def asked_to_wait_in(headers: Mapping[str, str]) -> float | None:
    """Seconds that the headers of an answer ask to wait; None where they ask for nothing.

    Example:
        >>> asked_to_wait_in({"Retry-After": "3"}), asked_to_wait_in({"RateLimit": '"api";r=0;t=55'})
        (3.0, 55.0)
    """
    after = str(headers.get("Retry-After", ""))
    if re.fullmatch(r"\d{1,6}(\.\d+)?", after):
        return float(after)
    limit = re.search(r"\bt=(\d{1,6})", str(headers.get("RateLimit", "")))
    return float(limit[1]) if limit else None


def tried(doing: str, work: Callable[[], _T], *, patience: Patience, sleep: Callable[[float], None] = time.sleep) -> _T:
    """The result of a request that may be sent again, tried a few times with growing pauses.

    Args:
        doing: What is tried, for the message.
        work: The request; sending it twice must do no harm.
        patience: Tries and first pause.
        sleep: What waits.

    Returns:
        What ``work`` returned.

    Raises:
        HubError: It failed for good, or for the last time; also where the Hub asks for a longer wait than is kept.
    """
    for attempt in range(1, patience.tries + 1):
        try:
            return work()
        except Exception as error:
            said = explained(error)
            if said is None and not passing(error):
                raise
            if not passing(error) or attempt == patience.tries:
                times = f" after {attempt} tries" if attempt > 1 else ""
                raise HubError(f"{doing}: {said or 'the connection failed'}{times}.") from None
            wait = asked_to_wait(error)
            if wait is not None and wait > _WAIT:
                raise HubError(f"{doing}: the Hub asks to wait {wait:.0f} seconds; try again then.") from None
            sleep(patience.pause * 2 ** (attempt - 1) if wait is None else wait)
    raise AssertionError("a request is tried at least once")
