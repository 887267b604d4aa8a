"""Small tar and zip archives for tests, as bytes."""

from __future__ import annotations

import io
import tarfile
import zipfile


def tar_of(members: dict[str, bytes], *, link: str = "") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo("good/link.csv")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return packed.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data)
    return packed.getvalue()


GOOD = {"good/a.csv": b"1,2\n", "good/deep/b.csv": b"3\n", "good/readme.md": b"no", "good/._a.csv": b"junk"}
