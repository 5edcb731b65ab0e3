"""The README's Python runs as it stands."""

import re
from pathlib import Path

import pytest

VERDICTS = ("AGREE at N = 1000", "AGREE at N = 400", "AGREE at N = 300", "SignSGD AGREE")
README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.slow
def test_its_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 4
    for code, verdict in zip(blocks, VERDICTS, strict=True):
        exec(code, {})
        assert capsys.readouterr().out.startswith(verdict)
    assert (tmp_path / "committee.h5").exists() and (tmp_path / "committee.png").exists()


def test_every_file_it_links_to_is_there():
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (Path(__file__).parent.parent / link).exists(), link
