"""Whether a file is the very one it was: its place on the disk, its length and when it was written last.

`os.stat_result` compares the time of the last reading too, which a reader moves.
"""

from pathlib import Path


def file_identity(path: Path) -> tuple[int, int, int]:
    """What stays while nobody writes the file or puts another in its place."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
