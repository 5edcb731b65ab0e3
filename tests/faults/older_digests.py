"""Files as they were before arrays had digests piece by piece."""

from pathlib import Path

import h5py

from teacherstudent.results import digests, hdf5_reading
from teacherstudent.results.group_checks import group_check


def with_older_digests(path: Path) -> None:
    """Give every group of a file one digest of everything, in place."""
    with hdf5_reading.opened(path, group_check(str(path))) as root:
        found = dict(_digests("/", root))
    with h5py.File(path, "r+") as file:
        for name, digest in found.items():
            del file[name].attrs[digests.DIGESTS_OF_ARRAYS]
            file[name].attrs[digests.DIGEST] = digest


def _digests(name: str, group: digests.Group):
    yield name, digests.digest_of_everything(group)
    for child, one in group.groups.items():
        yield from _digests(f"{name}/{child}", one)
