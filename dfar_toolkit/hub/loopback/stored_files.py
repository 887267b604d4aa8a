"""What a commit holds: files by path, small ones as git blobs, large ones as git-LFS pointers into a folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

LARGE: Final = 10_000_000  # bytes from which a file goes to git-LFS whatever its name
_LARGE_NAMES: Final = (
    *("parquet", "arrow", "safetensors", "gguf", "bin", "pt", "pth", "ckpt", "onnx", "h5", "msgpack", "pkl", "npy"),
    *("npz", "zip", "gz", "tgz", "bz2", "xz", "zst", "7z", "tar", "jpg", "jpeg", "png", "tiff", "webp", "mp3", "wav"),
)
GITATTRIBUTES: Final = "".join(f"*.{name} filter=lfs diff=lfs merge=lfs -text\n" for name in _LARGE_NAMES).encode()


def git_blob_id(content: bytes) -> str:
    """The sha1 that git gives to a file of this content.

    Example:
        >>> git_blob_id(b"")
        'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def pointer_text(sha256: str, size: int) -> bytes:
    """The text that git keeps in place of a file in git-LFS."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a commit: ``content`` of a small one, ``sha256`` of one in git-LFS, never both."""

    oid: str
    size: int
    content: bytes | None = field(default=None, repr=False)
    sha256: str | None = None

    @property
    def etag(self) -> str:
        """What a download names the bytes by."""
        return self.sha256 or self.oid

    def as_json(self, path: str) -> dict[str, object]:
        """The file as listings show it."""
        shown: dict[str, object] = {"type": "file", "oid": self.oid, "size": self.size, "path": path}
        if self.sha256:
            pointer = len(pointer_text(self.sha256, self.size))
            shown["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": pointer}
        return shown


def small_file(content: bytes) -> StoredFile:
    """A file kept in git itself."""
    return StoredFile(git_blob_id(content), len(content), content)


def large_file(sha256: str, size: int) -> StoredFile:
    """A file whose bytes are in git-LFS."""
    return StoredFile(git_blob_id(pointer_text(sha256, size)), size, None, sha256)


def goes_to_lfs(path: str, size: int, sample: bytes, attributes: bytes, limit: int = LARGE) -> bool:
    """Whether a new file belongs into git-LFS: by ``.gitattributes``, by its size, or as it holds a NUL byte.

    Args:
        path: Where it will lie.
        size: Its bytes; an empty file never goes to git-LFS.
        sample: Its first bytes.
        attributes: The repository's ``.gitattributes``; the last line that names the file decides.
        limit: Bytes from which the size decides.

    Returns:
        The answer.

    Example:
        >>> goes_to_lfs("data/train.parquet", 40, b"PAR1", GITATTRIBUTES), goes_to_lfs("a.md", 40, b"# A", b"")
        (True, False)
    """
    if not size:
        return False
    by_name: bool | None = None
    for line in attributes.decode("utf-8", "replace").splitlines():
        pattern, *words = line.split() or [""]
        named = fnmatchcase(path if "/" in pattern else path.rpartition("/")[2], pattern.lstrip("/"))
        if named and not pattern.startswith("#"):
            if "filter=lfs" in words:
                by_name = True
            elif {"-filter", "!filter"} & set(words):
                by_name = False
    return bool(by_name) or size >= limit or b"\0" in sample


class LargeFiles:
    """The bytes of git-LFS files, each in a file named by its sha256.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str) -> Path:
        """Where the bytes lie, whether they are there or not; a test may spoil them."""
        return self.folder / sha256

    def size(self, sha256: str) -> int | None:
        """Bytes held, None where there are none of that name."""
        path = self.path(sha256)
        return path.stat().st_size if path.is_file() else None

    def keep(self, parts: Iterable[bytes], sha256: str | None = None) -> str | None:
        """Store bytes under their sha256.

        Args:
            parts: The bytes, in pieces.
            sha256: What they must be.

        Returns:
            Their sha256, None where they are something else than demanded; then nothing is kept.
        """
        handle, name = tempfile.mkstemp(dir=self.folder, prefix="part-")
        digest = hashlib.sha256()
        try:
            with os.fdopen(handle, "wb") as file:
                for part in parts:
                    digest.update(part)
                    file.write(part)
            if sha256 not in (None, digest.hexdigest()):
                return None
            Path(name).replace(self.path(digest.hexdigest()))
        finally:
            Path(name).unlink(missing_ok=True)
        return digest.hexdigest()


def folder_oid(files: Mapping[str, StoredFile], folder: str) -> str:
    """A name for what a folder holds (stable, though not git's own tree id)."""
    inside = sorted(f"{path} {file.oid}" for path, file in files.items() if path.startswith(folder + "/"))
    return hashlib.sha1("\n".join(inside).encode()).hexdigest()


def folders_of(paths: Iterable[str]) -> set[str]:
    """Every folder that these files lie in, the root left out.

    Example:
        >>> sorted(folders_of(["a/b/c.txt", "d.txt"]))
        ['a', 'a/b']
    """
    return {path[:at] for path in paths for at, letter in enumerate(path) if letter == "/"}
