"""One download that survives dropped connections: it continues a ``.part`` file where the server allows it.

Beside ``NAME.part`` stands ``NAME.part.json`` with the address and what identified the bytes (a strong ETag, else the
Last-Modified time); the next try asks for the rest only if they are still the same bytes (``Range``, ``If-Range``).
"""

from __future__ import annotations

import errno
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from dfar_toolkit.errors import SourceError

Progress = Callable[[str, int, int | None], None]

_CHUNK: Final = 1 << 13  # at most this much of what came is lost when a connection breaks
_MOST_REDIRECTS: Final = 5
_MOST_TRIES: Final = 100  # also when every try brings a few bytes
_LONGEST_WAIT: Final = 30.0
_GO_ON: Final = "run the same command again to continue"


class _TryAgainError(Exception):
    """A fault that may pass: what was found, and how long the server asks to wait."""

    def __init__(self, found: str, wait: float | None = None) -> None:
        super().__init__(found)
        self.wait = wait


@dataclass(slots=True)
class ResumingDownload:
    """A downloader for ``pooch.retrieve``: called with an address and the file to write.

    ``part`` is the file that grows. ``redirects`` are the endings of hosts that may be redirected to, beside the same
    host. ``checked``: the result's checksum is known, so a rest may be asked for even where the server identifies
    nothing. ``tries`` counts tries in a row that brought nothing new.
    """

    part: Path
    name: str
    redirects: tuple[str, ...] = ()
    checked: bool = False
    timeouts: tuple[float, float] = (10.0, 30.0)  # seconds to connect, and between two pieces
    tries: int = 5
    pause: float = 0.5
    progress: Progress | None = None
    resumed: bool = False

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        """Download to the part file, over as many tries as it takes, then move it to ``output_file``."""
        import requests

        idle = 0
        with requests.Session() as session:
            for turn in range(_MOST_TRIES):
                before = self._size()
                try:
                    self._once(session, url)
                    break
                except _TryAgainError as fault:
                    idle = 0 if self._size() > before else idle + 1
                    if idle >= self.tries or turn == _MOST_TRIES - 1:
                        raise SourceError(f"{url}: {fault} ({self.tries} tries); {_GO_ON}.") from None
                    wait = self.pause * 2 ** max(idle - 1, 0) if fault.wait is None else fault.wait
                    time.sleep(min(wait, _LONGEST_WAIT))
        self.part.replace(output_file)
        self._note().unlink(missing_ok=True)

    def _once(self, session: Any, url: str) -> None:
        import requests

        have, validator = self._begun(url)
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator:
                headers["If-Range"] = validator
        try:
            with self._opened(session, url, headers) as answer:
                start = self._start(answer, url, have)
                self._write(answer, url, start)
        except requests.exceptions.SSLError as fault:
            raise SourceError(f"{url}: the server's certificate was not accepted ({_short(fault)}).") from None
        except requests.exceptions.Timeout:
            seconds = " / ".join(f"{t:g}" for t in self.timeouts)
            raise _TryAgainError(f"no answer in time ({seconds} s to connect / to read)") from None
        except requests.exceptions.ChunkedEncodingError:
            raise _TryAgainError(f"the connection broke after {self._size():,} bytes") from None
        except requests.exceptions.ConnectionError as fault:
            if "timed out" in str(fault):  # a piece that did not come, in the words of the library below
                raise _TryAgainError(f"nothing came for {self.timeouts[1]:g} s") from None
            raise _TryAgainError(f"no connection ({_short(fault)})") from None
        except requests.exceptions.RequestException as fault:
            raise SourceError(f"{url}: could not be asked for ({_short(fault)}).") from None

    def _opened(self, session: Any, url: str, headers: dict[str, str]) -> Any:
        """The answer after at most a few redirects, each to a host that is allowed."""
        address = url
        for _ in range(_MOST_REDIRECTS + 1):
            answer = session.get(address, headers=headers, timeout=self.timeouts, stream=True, allow_redirects=False)
            if not answer.is_redirect:
                return answer
            onward = urljoin(address, answer.headers["location"])
            answer.close()
            self._may_follow(url, address, onward)
            address = onward
        raise SourceError(f"{url}: redirected more than {_MOST_REDIRECTS} times; the address may have moved.")

    def _may_follow(self, url: str, address: str, onward: str) -> None:
        old, new = urlsplit(address), urlsplit(onward)
        known = new.netloc in (old.netloc, urlsplit(url).netloc)
        known = known or any((new.hostname or "").endswith(end) for end in self.redirects)
        secure = new.scheme == "https" or (new.scheme, old.scheme) == ("http", "http")
        if not (known and secure):
            raise SourceError(
                f"{url}: redirects to {new.scheme}://{new.netloc}, which is not among the known hosts; not followed."
            )

    def _start(self, answer: Any, url: str, have: int) -> int:
        """Where the answer's bytes begin: behind ours, or at zero where the server sends the whole file."""
        status = answer.status_code
        if status == 206 and have:
            given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("content-range", "").strip())
            if given and int(given[1]) == have:
                self.resumed = True
                return have
            self._forget()
            raise _TryAgainError("the server sent another part than was asked for")
        if status == 416:
            self._forget()
            raise _TryAgainError("the server has no more than the part that is here")
        if status == 200:
            if answer.headers.get("content-type", "").startswith("text/html"):
                raise SourceError(f"{url}: wanted the file {self.name}; the server sent a web page instead.")
            self.resumed = False
            return 0
        if status in (408, 425, 429) or status >= 500:
            raise _TryAgainError(f"the server answered {status} {answer.reason}", _asked_wait(answer))
        raise SourceError(
            f"{url}: the server answered {status} {answer.reason}; the file may have moved: look at the source's "
            "homepage, or name a mirror with --from."
        )

    def _write(self, answer: Any, url: str, start: int) -> None:
        plain = answer.headers.get("content-encoding", "identity") == "identity"
        length = answer.headers.get("content-length", "")
        total = start + int(length) if plain and length.isdecimal() else None
        try:
            if not start:  # the note is gone before the first byte of another file can stand in the part
                self._forget()
                self._note().write_text(json.dumps({"address": url, "is": _validator(answer) if plain else ""}))
            with self.part.open("ab" if start else "wb") as file:
                done = start
                for piece in answer.iter_content(_CHUNK):
                    file.write(piece)
                    done += len(piece)
                    if self.progress:
                        self.progress(self.name, done, total)
        except OSError as fault:
            if fault.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SourceError(
                    f"{self.part.parent}: no room left on the disk after {self._size():,} bytes of {self.name}; "
                    f"make room and {_GO_ON}."
                ) from None
            raise
        if total is not None and done != total:
            raise _TryAgainError(f"the connection broke after {done:,} of {total:,} bytes")
        if not done:
            raise SourceError(f"{url}: wanted the file {self.name}; the server sent nothing.")

    def _begun(self, url: str) -> tuple[int, str]:
        """How many bytes of an earlier try can be kept, and what identifies them."""
        try:
            note = json.loads(self._note().read_text())
            address, validator = str(note["address"]), str(note["is"])
        except (OSError, ValueError, KeyError, TypeError):
            address = validator = ""
        if address != url or not (validator or self.checked):
            self._forget()
        return self._size(), validator

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _note(self) -> Path:
        return self.part.with_name(self.part.name + ".json")

    def _forget(self) -> None:
        self._note().unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)


def _validator(answer: Any) -> str:
    """A strong ETag, else the time of the last change: what ``If-Range`` takes."""
    tag = str(answer.headers.get("etag", ""))
    return tag if tag and not tag.startswith("W/") else str(answer.headers.get("last-modified", ""))


def _asked_wait(answer: Any) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None


def _short(fault: Exception) -> str:
    """The innermost cause in a few words, without addresses of objects."""
    deepest: BaseException = fault
    while (inner := getattr(deepest, "reason", None) or deepest.__cause__ or deepest.__context__) is not None:
        if not isinstance(inner, BaseException):
            break
        deepest = inner
    text = str(getattr(deepest, "strerror", None) or deepest)
    return re.sub(r"<[^>]*>:? ?", "", text)[:160] or type(deepest).__name__
