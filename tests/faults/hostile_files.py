"""Files that were made to do harm, or by others, or by mistake: by name, how each is made at a
path.

Most begin as a result file without checksums (schema 1), so that what is wrong with them is not
found by its checksum alone.
"""

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

SCHEMA_1 = Path(__file__).parents[1] / "teacherstudent" / "schema_1.h5"
MARK = "teacherstudent"
DEEP = "[" * 100_000 + "]" * 100_000
NOT_A_DESCRIPTION = {
    "deep": DEEP,
    "deep in a table": '{"schema": 1, "kind": "theory", "problem": '
    + '{"a":' * 500
    + "1"
    + "}" * 500
    + "}",
    "deep tables": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "list": "[1]",
    "null": "null",
    "number": "3",
    "long number": "1" * 10_000,
    "text": '"schema"',
    "not a number": "NaN",
    "cut": '{"schema": 1, ',
    "empty": "",
    "a number, not text": 3,
    "bytes": np.bytes_(b"\xff\xfe"),
    "texts": ["{}", "{}"],
    "table without anything": "{}",
}
SCHEMAS = (
    3,
    99,
    0,
    -1,
    10**30,
    10**400,
    1.0,
    1.5,
    "1",
    "",
    True,
    None,
    [1],
    {"a": 1},
    float("inf"),
    float("nan"),
)

Make = Callable[[Path], None]
Edit = Callable[[h5py.File], None]


def hostile_files() -> Iterator[tuple[str, Make]]:
    """All of them: a name, and a function that makes the file."""
    yield from NO_FILES.items()
    yield from FOREIGN.items()
    for name, size in HEAPS.items():
        yield name, _with_heap(size)
    for name, edit in edits():
        yield name, _edited(edit)


def edits() -> Iterator[tuple[str, Edit]]:
    """What is done to a good file to make it a bad one."""
    yield from LINKS.items()
    yield from SIZES.items()
    yield from SHAPES.items()
    yield from TYPES.items()
    for name, text in NOT_A_DESCRIPTION.items():
        for group in ("/", "theory"):
            yield f"description of {group}: {name}", _description(group, text)
    for schema in SCHEMAS:
        for group in ("/", "theory"):
            yield f"schema of {group}: {str(schema)[:20]!r}", _entry(group, "schema", schema)
    for entry in ("schema", "kind", "problem", "start", "report"):
        yield f"description without {entry}", _entry("simulation", entry, ...)
    for entry in ("kind", "problem", "start", "report"):
        for value in (None, [], "x", 3):
            yield f"description with {entry} = {value!r}", _entry("theory", entry, value)
    yield "a theory called simulation", _swap
    yield "report without N", _entry("simulation", "report", {"seeds": 2})
    yield "report with N as text", _entry("simulation", "report", {"N": "20"})


# Sizes of the first object in a heap of texts, free space: HDF5 walks from object to object by
# them.
HEAPS = {
    "a heap that goes nowhere": 0,
    "a heap that goes back": 2**64 - 16,
    ("a heap without end"): 2**40,
}


def _with_heap(size: int) -> Make:
    """A file in whose heaps the first object is free space of this size."""

    def make(path: Path) -> None:
        content = bytearray(SCHEMA_1.read_bytes())
        position = content.find(b"GCOL")
        while position >= 0:
            content[position + 16 : position + 32] = bytes(8) + size.to_bytes(8, "little")
            position = content.find(b"GCOL", position + 1)
        path.write_bytes(content)

    return make


def _edited(edit: Edit) -> Make:
    def make(path: Path) -> None:
        shutil.copy(SCHEMA_1, path)
        with h5py.File(path, "r+") as file:
            edit(file)

    return make


def _description(group: str, text) -> Edit:
    def edit(file: h5py.File) -> None:
        file[group].attrs[MARK] = text

    return edit


def _entry(group: str, entry: str, value) -> Edit:
    def edit(file: h5py.File) -> None:
        described = json.loads(file[group].attrs[MARK])
        described[entry] = value
        if value is ...:
            del described[entry]
        file[group].attrs[MARK] = json.dumps(described)

    return edit


# What is not a file at all, or not HDF5, or HDF5 of others


def _bytes(content: bytes) -> Make:
    return lambda path: path.write_bytes(content) and None


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def _of_netcdf(path: Path) -> None:
    xr.Dataset({"Q": (("time",), np.zeros(3))}, attrs={"title": "not ours"}).to_netcdf(
        path, engine="h5netcdf"
    )


def _of_h5py(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["theory/Q"] = np.zeros((3, 2, 2))


def _of_matlab(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = np.zeros((1, 3))
        file["x"].attrs["MATLAB_class"] = np.bytes_("double")
        file["cells"] = np.array([file["x"].ref, file["x"].ref], h5py.ref_dtype)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


def _numbers(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, Q=np.zeros(3))


def _lines(path: Path) -> None:
    path.write_text("[problem]\ntask = 1\n")


NO_FILES: dict[str, Make] = {
    "nothing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path),
    "socket": _socket,
    "zeros without end": lambda path: path.symlink_to("/dev/zero"),
    "link to nothing": lambda path: path.symlink_to(path.with_name("nowhere.h5")),
    "link to itself": lambda path: path.symlink_to(path),
    "empty": lambda path: path.touch(),
}
FOREIGN: dict[str, Make] = {
    "signature": _bytes(b"\x89HDF\r\n\x1a\n"),
    "signature and noise": lambda path: _bytes(
        b"\x89HDF\r\n\x1a\n" + np.random.default_rng(0).bytes(5000)
    )(path),
    "zero bytes": _bytes(bytes(5000)),
    "text": _lines,
    "npz": _numbers,
    "pickle": _bytes(b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n."),
    "netCDF 3": _bytes(b"CDF\x01" + bytes(100)),
    "MATLAB 5": _bytes(b"MATLAB 5.0 MAT-file".ljust(128) + bytes(100)),
    "netCDF 4 of others": _of_netcdf,
    "h5py of others": _of_h5py,
    "MATLAB 7.3": _of_matlab,
    "a thousand long texts": lambda path: _many_texts(path),
}


# Links


def _hard(name: str, target: str) -> Edit:
    def edit(file: h5py.File) -> None:
        file[name] = file[target]

    return edit


def _put(name: str, value) -> Edit:
    """A link or an array in the place of what is there."""

    def edit(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = value

    return edit


def _external_storage(file: h5py.File) -> None:
    del file["theory/Q"]
    file.create_dataset("theory/Q", (2, 2, 2), "f8", external=[("/etc/hostname", 0, 64)])


def _virtual(source: str) -> Edit:
    def edit(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((2, 2, 2), "f8")
        layout[:] = h5py.VirtualSource(source, "theory/Q_", (2, 2, 2))
        file.move("theory/Q", "theory/Q_")
        file["theory"].create_virtual_dataset("Q", layout)

    return edit


def _swap(file: h5py.File) -> None:
    file.move("simulation", "other")
    file.move("theory", "simulation")
    file.move("other", "theory")


def _twice_by_name(file: h5py.File) -> None:
    file.create_group("variants/a")
    file["variants/a/theory"] = file["theory"]


LINKS: dict[str, Edit] = {
    "a group in itself": _hard("theory/again", "theory"),
    "the file in itself": _hard("variants", "/"),
    "the file in a variant": lambda file: _hard("x", "/")(file.create_group("variants")),
    "a simulation in itself": _hard("simulation/N_20", "simulation"),
    "a group under two names": _twice_by_name,
    "an array under two names": _hard("theory/R2", "theory/R"),
    "a soft link to a group": _put("theory", h5py.SoftLink("/simulation")),
    "a soft link to nothing": _put("theory/Q", h5py.SoftLink("/nowhere")),
    "a soft link to itself": _put("theory/Q", h5py.SoftLink("/theory/Q")),
    "a group in another file": _put("theory", h5py.ExternalLink(str(SCHEMA_1), "theory")),
    "an array in another file": _put("theory/Q", h5py.ExternalLink(str(SCHEMA_1), "theory/Q")),
    "a link to a device": _put("theory", h5py.ExternalLink("/dev/zero", "theory")),
    "numbers in another file": _external_storage,
    "virtual, of this file": _virtual("."),
    "virtual, of another file": _virtual(str(SCHEMA_1)),
    "a type for a group": _put("theory", np.dtype("f8")),
    "an array for a group": _put("theory", np.zeros(3)),
    "a group for an array": lambda file: (
        _put("theory/Q", np.zeros(3))(file) or _put("theory/Q/x", 1)(file.create_group("escape"))
    ),
    "a strange group": lambda file: file.create_group("notes") and None,
    "a strange group in a group": lambda file: file.create_group("theory/notes") and None,
}


# More than is there


def _declared(**options) -> Edit:
    """Q in the place of the good one, declared but never written."""

    def edit(file: h5py.File) -> None:
        del file["theory/Q"]
        file.create_dataset("theory/Q", dtype="f8", **options)
        _name_dims(file["theory/Q"])

    return edit


def _name_dims(array: h5py.Dataset) -> None:
    for axis, name in enumerate(("time", "student", "student_")):
        array.dims[axis].attach_scale(array.parent[name])


def _zeros(packings: int) -> Edit:
    """Six gigabytes of zeros in a few kilobytes, packed once or twice."""

    def edit(file: h5py.File) -> None:
        del file["theory/Q"]
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_chunk((1, 1, 2**20))
        for _ in range(packings):
            how.set_deflate(9)
        space = h5py.h5s.create_simple((1, 800, 2**20))
        array = h5py.h5d.create(file["theory"].id, b"Q", h5py.h5t.IEEE_F64LE, space, how)
        h5py.Dataset(array)[0, 0] = 0.0
        raw = array.read_direct_chunk((0, 0, 0))[1]
        for row in range(1, 20):
            array.write_direct_chunk((0, row, 0), raw)
        _name_dims(file["theory/Q"])

    return edit


def _bomb(file: h5py.File) -> None:
    """A chunk that unpacks to a thousand times what it declares."""
    import zlib

    del file["theory/Q"]
    array = file["theory"].create_dataset(
        "Q", (2, 2, 2), "f8", chunks=(2, 2, 2), compression="gzip"
    )
    array.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(2**28), 9))
    _name_dims(array)


def _many_groups(parent: str) -> Edit:
    def edit(file: h5py.File) -> None:
        group = file.require_group(parent)
        for number in range(3000):
            group.create_group(f"g{number}")

    return edit


def _groups_in_groups(file: h5py.File) -> None:
    group = file.create_group("variants")
    for _ in range(500):
        group = group.create_group("a")


def _many_attributes(file: h5py.File) -> None:
    for number in range(2000):
        file["theory"].attrs[f"a{number}"] = number


def _many_texts(path: Path) -> None:
    """A thousand times the same long text, which the file has once."""
    shutil.copy(SCHEMA_1, path)
    with h5py.File(path, "r+") as file:
        file["theory/labels"] = np.arange(1000.0)
        file["theory/labels"].make_scale("labels")
        array = file["theory"].create_dataset("names", (1000,), h5py.string_dtype())
        array[0] = "x" * 1_000_000
        array[1:] = "y"
        array.dims[0].attach_scale(file["theory/labels"])
        begin, size = array.id.get_offset(), array.id.get_storage_size()
    with path.open("r+b") as content:
        content.seek(begin)
        one = content.read(size // 1000)
        content.seek(begin)
        content.write(one * 1000)


SIZES: dict[str, Edit] = {
    "zeros packed": _zeros(1),
    "zeros packed twice": _zeros(2),
    "a bomb in a chunk": _bomb,
    "declared, not there": _declared(shape=(2, 2, 2)),
    "declared in chunks, not there": _declared(shape=(2, 2, 2), chunks=(1, 1, 1)),
    "huge": _declared(shape=(2, 2**20, 2**20)),
    "huge in chunks": _declared(shape=(2, 2**20, 2**20), chunks=(1, 1, 2**10)),
    "a huge chunk": _declared(shape=(2, 2, 2), maxshape=(None,) * 3, chunks=(2**9, 2**9, 2**9)),
    "beyond counting": _declared(shape=(2**31, 2**31, 2), chunks=(1, 1, 1)),
    "endless": _declared(shape=(2, 2, 2**40), maxshape=(None,) * 3, chunks=(1, 1, 2**20)),
    "packed otherwise": _declared(shape=(2, 2, 2), scaleoffset=2),
    "thousands of groups": _many_groups("/"),
    "thousands of groups in a group": _many_groups("theory"),
    "thousands of variants": _many_groups("variants"),
    "hundreds of groups in groups": _groups_in_groups,
    "thousands of attributes": _many_attributes,
}


# Dimensions


def _replaced(values, names: tuple[str, ...]) -> Edit:
    """Q with other values over other dimensions."""

    def edit(file: h5py.File) -> None:
        del file["theory/Q"]
        array = file["theory"].create_dataset("Q", data=values)
        for axis, name in enumerate(names):
            if name not in file["theory"]:
                file["theory"][name] = np.arange(2.0)
                file["theory"][name].make_scale(name)
            array.dims[axis].attach_scale(file["theory"][name])

    return edit


def _attribute(name: str, key: str, value) -> Edit:
    def edit(file: h5py.File) -> None:
        file[name].attrs[key] = value

    return edit


def _without(name: str, key: str) -> Edit:
    def edit(file: h5py.File) -> None:
        del file[name].attrs[key]

    return edit


def _dangling(file: h5py.File) -> None:
    """Dimensions that are not there any more."""
    for name in ("student", "student_"):
        del file["theory"][name]


def _longer_time(file: h5py.File) -> None:
    values = file["theory/time"][()]
    del file["theory/time"]
    array = file["theory"].create_dataset("time", data=np.append(values, 3.0))
    array.make_scale("time")
    for name in ("Q", "R", "v", "eps_g"):
        file[f"theory/{name}"].dims[0].attach_scale(array)


SHAPES: dict[str, Edit] = {
    "a vector for a matrix": _replaced(np.zeros(2), ("student",)),
    "other dimensions": _replaced(np.zeros((2, 2, 2)), ("student", "time", "student_")),
    "one dimension twice": _replaced(np.zeros((2, 2, 2)), ("time", "student", "student")),
    "strange dimensions": _replaced(np.zeros((2, 2, 2)), ("foo", "bar", "baz")),
    "no dimensions": _replaced(np.zeros((2, 2, 2)), ()),
    "no names": _without("theory/Q", "DIMENSION_LIST"),
    "names that are numbers": _attribute("theory/Q", "DIMENSION_LIST", [1.0, 2.0, 3.0]),
    "names that are text": _attribute("theory/Q", "DIMENSION_LIST", "time"),
    "dangling": _dangling,
    "times that do not fit": _longer_time,
    "no shape": _put("theory/eps_g", h5py.Empty("f8")),
    "an attribute without shape": _attribute("theory", "x", h5py.Empty("f8")),
}


# Types


def _packed(filter_number: int) -> Edit:
    def edit(file: h5py.File) -> None:
        del file["theory/Q"]
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_chunk((2, 2, 2))
        how.set_filter(filter_number, h5py.h5z.FLAG_OPTIONAL, ())
        h5py.h5d.create(
            file["theory"].id, b"Q", h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((2, 2, 2)), how
        )

    return edit


def _odd_float(file: h5py.File) -> None:
    """Numbers whose exponent counts from elsewhere."""
    kind = h5py.h5t.IEEE_F64LE.copy()
    kind.set_ebias(1000)
    del file["theory/eps_g"]
    h5py.h5d.create(file["theory"].id, b"eps_g", kind, h5py.h5s.create_simple((2,)))
    file["theory/eps_g"][:] = [1.0, 2.0]
    file["theory/eps_g"].dims[0].attach_scale(file["theory/time"])


def _typed(dtype, value=None) -> Edit:
    def edit(file: h5py.File) -> None:
        del file["theory/eps_g"]
        array = file["theory"].create_dataset("eps_g", (2,), dtype)
        if value is not None:
            array[:] = value
        array.dims[0].attach_scale(file["theory/time"])

    return edit


def _references(file: h5py.File) -> None:
    _typed(h5py.ref_dtype)(file)
    file["theory/eps_g"][0] = file["theory"].ref


TYPES: dict[str, Edit] = {
    "compound": _typed(np.dtype([("a", "f8"), ("b", "i4")])),
    "complex": _typed("c16", 1j),
    "enum": _typed(h5py.enum_dtype({"A": 0, "B": 1})),
    "boolean": _typed("?", True),
    "references": _references,
    "regions": _typed(h5py.regionref_dtype),
    "opaque": _typed("V8"),
    "lists": _typed(h5py.vlen_dtype("i8")),
    "arrays": _typed(np.dtype(("f8", (3,)))),
    "text": _typed(h5py.string_dtype(), "1.0"),
    "letters": _typed("S3", b"1.0"),
    "bytes that are no text": _typed(h5py.string_dtype(), b"\xff\xfe"),
    "odd float": _odd_float,
    "an unknown filter": _packed(307),
    "a filter of nobody": _packed(54321),
    "an attribute that is a table": _attribute("theory", "x", np.zeros(1, [("a", "f8")])),
    "an attribute that refers": lambda file: _attribute("theory", "x", file["theory"].ref)(file),
    "a scale that is text": _attribute("theory/eps_g", "scale_factor", "x"),
    "a scale that is a list": _attribute("theory/eps_g", "scale_factor", [1.0, 2.0]),
    "a date": _attribute("theory/time", "units", "days since 1e99-01-01"),
    "a filling that is text": _attribute("theory/eps_g", "_FillValue", "x"),
    "a digest that is a list": _attribute("/", "sha256", [1, 2]),
    "a digest of something else": _attribute("theory", "sha256", "0" * 64),
    "coordinates that are no names": _attribute("theory", "coordinates", 3),
}
