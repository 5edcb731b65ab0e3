"""The global heaps of an HDF5 file, walked before HDF5 walks them.

Strings and lists of variable length lie in collections, "GCOL", one object after another: a header
of 16 bytes with the object's number (0 for what is free) and its size, then the object.  HDF5
trusts the sizes: a free object of size zero, as a hole in the file makes it, lets it read the same
header for ever.
"""

import mmap
from pathlib import Path

SIGNATURE = b"GCOL\x01"  # with the version; three bytes that mean nothing follow
HEADER = 16  # of a collection (signature and size) and of an object, where lengths have 8 bytes


def damaged_heap(path: Path) -> int | None:
    """The position of the first collection that cannot be walked to its end; None if there is
    none.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        position = content.find(SIGNATURE)
        while position >= 0:
            if not _can_be_walked(content, position):
                return position
            position = content.find(SIGNATURE, position + 1)
    return None


def _can_be_walked(content: mmap.mmap, position: int) -> bool:
    """Whether the sizes of a collection's objects lead to its end; of what reaches beyond the file
    HDF5 says so itself.
    """
    end = position + _number(content, position + 8, 8)
    if end > len(content):
        return True
    position += HEADER
    while position + HEADER <= end:
        number, size = _number(content, position, 2), _number(content, position + 8, 8)
        length = HEADER + -(-size // 8) * 8 if number else size
        if not HEADER <= length <= end - position:
            return False
        position += length
    return True


def _number(content: mmap.mmap, position: int, size: int) -> int:
    return int.from_bytes(content[position : position + size], "little")
