"""What `validate` finds in files, group by group."""

import json
import zipfile

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results import array_files
from teacherstudent.results.datasets import as_tree
from tests.faults.hostile_files import SCHEMA_1


@pytest.fixture(scope="module")
def parts():
    tree = ts.load(SCHEMA_1)
    return {name: tree[name].to_dataset() for name in tree.children}


def told(path) -> list[str]:
    return [str(finding) for finding in ts.validate(path).findings]


def with_description(data, **entries):
    """A dataset that says something else of itself."""
    described = json.loads(data.attrs["teacherstudent"])
    return data.assign_attrs(teacherstudent=json.dumps(described | entries))


def test_a_good_file_is_told_group_by_group(parts, tmp_path):
    ts.save(tmp_path / "run.h5", **parts)
    report = ts.validate(tmp_path / "run.h5")
    assert report.ok
    assert str(report).splitlines() == [
        f"{tmp_path / 'run.h5'}, {name}: OK" for name in ts.load(tmp_path / "run.h5").children
    ]
    variants = {name: as_tree(**parts) for name in ("a", "b")}
    ts.save(tmp_path / "both.h5", variants=variants)
    assert ts.validate(tmp_path / "both.h5").ok
    assert "variants/b/simulation: OK" in told(tmp_path / "both.h5")
    assert ts.validate(SCHEMA_1).ok


def test_damage_is_found_in_its_group_alone(parts, tmp_path):
    path = tmp_path / "run.h5"
    ts.save(path, **parts)
    content = bytearray(path.read_bytes())
    content[content.find(parts["theory"].Q.values.tobytes())] ^= 1
    path.write_bytes(content)
    assert not ts.validate(path).ok
    assert sorted(told(path)) == [
        "comparison: OK",
        "simulation: OK",
        "theory: has numbers of 'Q' that do not match their checksum: the file is damaged.",
    ]
    place = content.find(b'"kind": "comparison"')
    content[place : place + 8] = b'"kine": '
    path.write_bytes(content)
    assert told(path) == [
        "the file: group 'comparison', holds kind = 'None'; it is to be 'comparison'."
    ]
    path.write_bytes(content[: len(content) // 2])
    assert told(path) == [
        "the file: is cut off: it is shorter than it says of itself; copy it anew."
    ]


def swept(theory, Q):
    return theory.assign(Q=(("learning_rate", *theory.Q.dims), Q))


def test_what_no_run_leaves_is_a_fault(parts, tmp_path):
    theory, simulation = parts["theory"], parts["simulation"]
    hole = theory.Q.values.copy()
    hole[1, 0, 0] = np.nan
    again = np.stack([theory.Q.values, hole[::-1]])
    elsewhere = json.loads(simulation.attrs["teacherstudent"])["start"]
    elsewhere["Q"][0][0] += 0.5
    faults = {
        "has times that do not increase": {"theory": theory.isel(time=slice(None, None, -1))},
        "has 'odd', which is nothing that a run records": {"theory": theory.assign(odd=3.0)},
        "has Q that is not finite at t = ": {"theory": theory.assign(Q=(theory.Q.dims, hole))},
        "has Q that is not finite at t = 0,": {"theory": swept(theory, again)},
        "began elsewhere than the theory beside it (start.Q differ)": {
            "theory": theory,
            "simulation": with_description(simulation, start=elsewhere),
        },
        "has a description that makes no problem": {
            "theory": with_description(theory, problem={"task": 3})
        },
    }
    for number, (message, given) in enumerate(faults.items()):
        ts.save(tmp_path / f"{number}.h5", **given)
        found = [one for one in told(tmp_path / f"{number}.h5") if not one.endswith("OK")]
        assert len(found) == 1 and message in found[0], (message, found)


def test_what_may_be_is_no_fault(parts, tmp_path):
    theory = parts["theory"]
    ended = theory.Q.values.copy()
    ended[1:] = np.nan  # a curve of a sweep that failed
    ts.save(tmp_path / "sweep.h5", theory=swept(theory, np.stack([theory.Q.values, ended])))
    assert told(tmp_path / "sweep.h5") == ["theory: OK"]
    own = theory.assign(mine=("time", [1.0, 2.0], {"long_name": "an observable"}))
    ts.save(tmp_path / "own.h5", theory=own)
    assert told(tmp_path / "own.h5") == ["theory: OK"]
    problem = json.loads(theory.attrs["teacherstudent"])["problem"]
    problem["task"]["type"] = "Mine"
    ts.save(tmp_path / "mine.h5", theory=with_description(theory, problem=problem))
    report = ts.validate(tmp_path / "mine.h5")
    assert report.ok and "Mine" in report.findings[0].note
    assert str(report.findings[0]).startswith("theory: OK (")


def test_checkpoints_are_validated_too(tmp_path):
    path = tmp_path / "run.npz"
    array_files.write(path, {"Q": np.arange(1000.0)})
    assert told(path) == ["the file: OK"]
    content = dict(np.load(path))
    np.savez(path, **{**content, "Q": content["Q"] + 1})
    assert told(path) == ["the file: it is not what was written (sha256 differs): it is damaged."]


def test_what_is_no_file_of_ours_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        ts.validate(tmp_path / "nothing.h5")
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    with pytest.raises(ValueError, match="it is not an HDF5 file"):
        ts.validate(tmp_path / "text.h5")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as file:
        file.writestr("notes.txt", "nothing")
    with pytest.raises(ValueError, match="is an archive, but not a checkpoint"):
        ts.validate(tmp_path / "other.npz")
