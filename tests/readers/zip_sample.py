"""A ZIP file written by hand, since Python before 3.14 writes no Zstandard members."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pyarrow as pa


def frames(content: bytes, *, pieces: int = 1) -> bytes:
    """The content as that many Zstandard frames, one after the other, as inspect_ai flushes them."""
    size = -(-len(content) // pieces)
    codec = pa.Codec("zstd")
    return b"".join(codec.compress(content[k * size : (k + 1) * size]).to_pybytes() for k in range(pieces))


def write_zip(path: Path, members: list[tuple[str, bytes]], *, method: int = 93, pieces: int = 1) -> Path:
    """Members in order (a name may repeat), packed by Zstandard (93) or deflate (8)."""
    body, directory = bytearray(), bytearray()
    for name, content in members:
        packed = frames(content, pieces=pieces) if method == 93 else zlib.compress(content)[2:-4]
        sizes = struct.pack("<IIIH", zlib.crc32(content), len(packed), len(content), len(name.encode()))
        about = struct.pack("<HHHHH", 63, 0x800, method, 0, 0x21) + sizes
        directory += b"PK\x01\x02" + struct.pack("<H", 63) + about + struct.pack("<HHHHII", 0, 0, 0, 0, 0, len(body))
        directory += name.encode()
        body += b"PK\x03\x04" + about + struct.pack("<H", 0) + name.encode() + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    path.write_bytes(bytes(body) + bytes(directory) + b"PK\x05\x06" + end)
    return path
