"""The README's Python runs as it stands."""

import re
from pathlib import Path

import pytest

from tests.long import mostly_long

VERDICTS = (
    "AGREE at N = 1000",
    "AGREE at N = 400",
    "AGREE at N = 300",
    "AGREE at N = 500",
    "AGREE at N = 400 within",
    "SignSGD AGREE",
)
README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "verdict"),
    mostly_long(zip(BLOCKS, VERDICTS, strict=True), [(BLOCKS[0], VERDICTS[0])]),
    ids=VERDICTS,
)
def test_its_python_runs(tmp_path, monkeypatch, capsys, code, verdict):
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out.startswith(verdict)
    saved = {file.name for file in tmp_path.iterdir()}
    assert saved >= set(re.findall(r"committee\.(?:h5|png)", code))


def test_every_file_it_links_to_is_there():
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (Path(__file__).parent.parent / link).exists(), link
