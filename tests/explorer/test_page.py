"""The page without a browser: its widgets, and what follows from them."""

import pytest
import xarray as xr

import teacherstudent as ts
from tests.explorer.cases import LINEAR, QUICK, tables

pytest.importorskip("panel", reason="the explorer's packages are not installed")

from teacherstudent.explorer import controls
from teacherstudent.explorer.live import Theory
from teacherstudent.explorer.opening import Opening, opening_of
from teacherstudent.explorer.page import Page
from teacherstudent.explorer.result_files import Folder, Result
from teacherstudent.explorer.state import means_the_same


@pytest.fixture
def page(tmp_path):
    """A page with a quick problem, whose theory has come."""
    page = Page(Opening(tables()), Folder(tmp_path))
    yield page
    page.leave()


def answered(page):
    """The page after all that it asked for is answered."""
    page.worker.close()
    return page


def renewed(page, **changes):
    """The page after some widgets were set."""
    for name, value in changes.items():
        page.widgets[name].value = value
    return answered(page)


def live_line(page, name="eps_g"):
    """Times and values of the theory that the figure shows."""
    data = page.board.charts[name].sources["theory"].data
    return data["xs"][0], data["ys"][0]


def test_the_widgets_are_those_of_the_file(page):
    assert page.widgets["K"].value == QUICK["K"]
    assert page.widgets["activation"].value == LINEAR["activation"]
    assert means_the_same(tables()["rule"], answered(page).answer.tables["rule"])


def test_a_slider_moves_the_curve(page):
    renewed(page, eta=0.25)
    assert page.is_current
    plan = page.answer.plan
    assert plan.problem.rule.learning_rate == 0.25
    expected = ts.integrate(plan.problem, plan.start, plan.times)
    times, values = live_line(page)
    assert times == expected.time.values.tolist()
    assert values == expected.eps_g.values.tolist()


def test_a_bad_combination_dims_the_curve_and_says_why(page):
    renewed(page, eta=-0.25)
    assert "rule.learning_rate" in page.status.object
    assert not page.is_current
    assert all(button.disabled for button in page.exports.values())
    if page.board.charts:  # of the first theory, where it came before it was overtaken
        assert page.board.charts["eps_g"].line.glyph.line_alpha < 1


def test_only_controls_that_matter_are_shown(page):
    assert page.widgets["M"].visible and not page.widgets["beta"].visible
    page.widgets["task"].value = controls.SPIKED_CUMULANT
    assert page.widgets["beta"].visible and not page.widgets["M"].visible
    assert page.widgets["start"].value == controls.OVERLAPS


def trained(page):
    page.size.value = 50
    page.seeds.value = 3
    page.simulate()
    if page.training is not None:
        page.training.wait()
    return page


def test_networks_are_shown_while_the_settings_are_theirs(page):
    renewed(page, eta=0.25)
    trained(page)
    assert page.board.charts["eps_g"].sources["marks"].data["x"]
    assert page.networks.verdict.split()[0] in page.verdict.object
    page._take(Theory().answer(tables(eta=0.3)))
    assert page.board.charts["eps_g"].sources["marks"].data["x"] == []
    assert "other settings" in page.verdict.object


def test_files_lie_over_each_other(page, tmp_path):
    results = []
    for name, eta in (("one.h5", 0.1), ("two.h5", 0.2)):
        ts.save(tmp_path / name, theory=Theory().answer(tables(eta=eta)).theory)
        results.append(name)
    answered(page)
    page._look_again()
    page.files.value = results
    data = page.board.charts["eps_g"].sources["files"].data
    assert len(data["xs"]) == 2
    assert data["dash"][0] != data["dash"][1] and data["colour"][0] != data["colour"][1]
    assert "one.h5" in page.caption.object and "two.h5" in page.caption.object


def test_a_damaged_file_is_a_sentence(page, tmp_path):
    (tmp_path / "broken.h5").write_text("no")
    page._look_again()
    page.files.value = ["broken.h5"]
    assert "broken.h5" in page.about_files.object


def test_a_name_that_the_server_did_not_list_is_a_sentence(page):
    page.files.options = ["../secret.h5"]
    page.files.value = ["../secret.h5"]
    assert "is not among the result files" in page.about_files.object


def test_what_is_taken_away_is_what_is_shown(page):
    renewed(page, eta=0.25)
    text = page.exports["toml"].callback().read().decode()
    assert "learning_rate = 0.25" in text and "--theory-only" in text
    trained(page)
    assert "seeds = 3" in page.exports["toml"].callback().read().decode()
    assert page.exports["h5"].callback().read(8) == b"\x89HDF\r\n\x1a\n"


def test_linear_axes_are_other_figures(page):
    renewed(page, eta=0.25)
    before = page.board.charts["eps_g"].figure
    page.log_error.value = False
    after = page.board.charts["eps_g"].figure
    assert after is not before
    assert type(after.y_scale).__name__ == "LinearScale"


def test_a_result_whose_controls_are_not_known_is_shown_alone():
    class Strange(Result):
        def tables(self):
            raise ValueError("a class of one's own.")

    theory = Theory().answer(tables()).theory
    opening = opening_of(Strange("own.h5", xr.DataTree.from_dict({"theory": theory})))
    assert opening.sentence == "a class of one's own."
    assert opening.tables == {}
