"""The README's Python runs as it stands."""

import re
from pathlib import Path

import pytest

VERDICTS = ("AGREE at N = 1000",)
README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "verdict"), list(zip(BLOCKS, VERDICTS, strict=True)), ids=VERDICTS
)
def test_its_python_runs(tmp_path, monkeypatch, capsys, code, verdict):
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out.startswith(verdict)
    saved = {file.name for file in tmp_path.iterdir()}
    assert saved >= set(re.findall(r"committee\.(?:h5|png)", code))
