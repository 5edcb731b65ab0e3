"""Digests of the groups of a file: what tells that a file is what was written.

HDF5 has no checksum on attributes, and none that says that a group is missing.
"""

import hashlib
import json
from typing import Any, NamedTuple

import numpy as np

DIGEST = "sha256"  # the attribute of a group that holds its digest


class Variable(NamedTuple):
    """An array with the names of its dimensions."""

    dims: tuple[str, ...]
    values: np.ndarray
    attributes: dict[str, Any]


class Group(NamedTuple):
    """What a group holds, the digest of that, and the digest that the file has of it, if it has
    one.
    """

    attributes: dict[str, Any]
    variables: dict[str, Variable]
    groups: dict[str, "Group"]
    digest: str
    digest_in_file: Any


def digest_of(
    attributes: dict[str, Any], variables: dict[str, Variable], groups: dict[str, Group]
) -> str:
    """A hash of all that is in a group and of the names of the groups in it."""
    outline = {
        "attributes": _listed(attributes),
        "variables": [
            [name, one.dims, one.values.dtype.str, one.values.shape, _listed(one.attributes)]
            for name, one in sorted(variables.items())
        ],
        "groups": sorted(groups),
    }
    digest = hashlib.sha256(json.dumps(outline).encode())
    for _, one in sorted(variables.items()):
        digest.update(_bytes(one.values))
    return digest.hexdigest()


def _listed(attributes: dict[str, Any]) -> list:
    return [[name, _plain(value)] for name, value in sorted(attributes.items())]


def _plain(value: Any) -> Any:
    """An attribute as JSON can hold it, without rounding."""
    if isinstance(value, str | list):
        return value
    return [value.dtype.str, value.shape, bytes(_bytes(value)).hex()]


def _bytes(values) -> bytes | memoryview:
    """What is hashed of an array."""
    if values.dtype.hasobject:
        return json.dumps(values.ravel().tolist()).encode()
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
