"""Named arrays in one file: NumPy's .npz, uncompressed, with a digest of all of them.

The file is read without unpickling anything.  The checksums of .npz itself do not see everything
(an array whose declared shape has become smaller, say); the digest does.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from teacherstudent.results.atomic_files import write_atomically

DIGEST = "sha256"  # the name of the array with the digest of the others


class DamagedFile(ValueError):
    """A file whose arrays are not those that were written."""


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to one file, which is whole or not there.

    Raises OSError where the disk refuses.
    """
    content = io.BytesIO()
    digest = np.asarray(digest_of(arrays))
    np.savez(content, allow_pickle=False, **{**arrays, DIGEST: digest})
    write_atomically(path, content.getbuffer())


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Raises DamagedFile if they are not what was written, and what NumPy and zipfile raise for a file
    that is none of ours.
    """
    arrays = _content(path)
    digest = str(arrays.pop(DIGEST))
    if digest != digest_of(arrays):
        raise DamagedFile(f"{path} is damaged: it is not what was written.")
    return arrays


def _content(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, none of them packed: they are no larger than the file."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as file:
        for member in file.infolist():
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > size:
                raise ValueError("a file of arrays is not compressed")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """A hash of the names, types, shapes and numbers of all arrays."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
