"""What is drawn: points, names, bands, and bytes that are the same each time."""

import itertools

import pytest

from compacter_cli.reports.cells import comparison_of
from compacter_cli.reports.drawing import (
    inline_svg,
    look_of,
    missing_letters,
    png_bytes,
    svg_text,
    wrapped,
)
from compacter_cli.reports.scatter import time_figure, trained_figure
from compacter_cli.reports.size_figure import size_figure


def names_of(figure):
    return sorted(text.get_text() for axes in figure.axes for text in axes.texts)


def boxes_of(figure):
    from matplotlib.text import Text

    figure.draw_without_rendering()
    return [Text.get_window_extent(text) for axes in figure.axes for text in axes.texts]


def circles_of(axes):
    """(cost, score, area, filled) of every circle."""
    return [
        (*map(float, c.get_offsets()[0]), float(c.get_sizes()[0]), bool(len(c.get_facecolors())))
        for c in axes.collections
    ]


@pytest.fixture
def paper_comparison(shipped_sweep, paper_lines):
    return comparison_of(shipped_sweep("table1"), paper_lines("table1"))


def test_figure_1_has_ours_and_the_papers_circles_and_a_name_each(paper_comparison):
    figure = trained_figure(paper_comparison)
    upper, lower = figure.axes  # the prompts' scores lie far below the others
    for axes in (upper, lower):
        circles = circles_of(axes)
        assert sum(filled for *_, filled in circles) == 12
        assert sum(not filled for *_, filled in circles) == 12
        assert axes.get_xscale() == "log"
    assert len(names_of(figure)) == 12
    assert {"Compacter", "Prompt Tuning-R", "T5 (full fine-tuning)"} <= set(names_of(figure))
    assert lower.get_ylim()[1] < upper.get_ylim()[0]
    assert "hollow: the paper's" in lower.get_xlabel()


def test_where_ours_are_the_papers_numbers_the_circles_lie_on_each_other(paper_comparison):
    circles = circles_of(trained_figure(paper_comparison).axes[0])
    ours = sorted((score, cost) for cost, score, _, filled in circles if filled)
    paper = sorted((score, cost) for cost, score, _, filled in circles if not filled)
    for (score, cost), (other, printed) in zip(ours, paper, strict=True):
        assert score == pytest.approx(other)
        assert cost == pytest.approx(printed, abs=0.001)


def test_names_lie_apart(paper_comparison):
    for first, second in itertools.combinations(boxes_of(trained_figure(paper_comparison)), 2):
        assert not first.overlaps(second)


def test_areas_are_in_the_ratio_of_memory(make_sweep, make_line):
    lines = [
        make_line("glue/rte", "full", {"accuracy": 80.0}, peak_memory_bytes=800),
        make_line("glue/rte", "compacter", {"accuracy": 70.0}, peak_memory_bytes=200),
    ]
    (axes,) = trained_figure(comparison_of(make_sweep(), lines)).axes
    areas = [area for _, _, area, _ in circles_of(axes)]
    assert areas[0] == pytest.approx(4 * areas[1])


def test_an_arm_without_all_tasks_has_no_dot_but_the_papers(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "glue/cola"], paper="table1")
    lines = [
        make_line("glue/rte", "full", {"accuracy": 60.0}, trained_percent=100.0),
        make_line("glue/cola", "full", {"matthews": 60.0}, trained_percent=100.0),
        make_line("glue/rte", "compacter", {"accuracy": 60.0}),
    ]
    comparison = comparison_of(sweep, lines)
    figure = trained_figure(comparison)
    assert sum(filled for *_, filled in circles_of(figure.axes[0])) == 1
    assert names_of(figure) == ["Compacter", "T5 (full fine-tuning)"]  # one is the hollow's
    assert names_of(time_figure(comparison)) == ["T5 (full fine-tuning)"]


def test_nothing_whole_nothing_drawn(make_sweep):
    comparison = comparison_of(make_sweep(), [])
    assert trained_figure(comparison) is time_figure(comparison) is size_figure(comparison) is None


def test_score_against_time(make_sweep, make_line):
    lines = [
        make_line("glue/rte", "full", {"accuracy": 80.0}, training_seconds=40.0),
        make_line("glue/rte", "compacter", {"accuracy": 70.0}, training_seconds=20.0),
    ]
    (axes,) = time_figure(comparison_of(make_sweep(), lines)).axes
    assert [(cost, score) for cost, score, *_ in circles_of(axes)] == [(40.0, 80.0), (20.0, 70.0)]
    assert "seconds" in axes.get_xlabel()


@pytest.fixture
def sizes(make_sweep, make_line):
    """Full and Compacter at 100 and 4,000 rows of two tasks, two seeds; RTE has fewer."""
    axis = {"key": "data.max_train_samples", "values": [100, 4000]}
    sweep = make_sweep(tasks=["glue/rte", "glue/cola"], seeds=[1, 2], axis=axis)
    lines = [
        make_line(
            task, arm, {metric: 50.0 + size / 100 + 2 * seed}, axis=size, seed=seed,
            train_rows=min(size, 2490 if task == "glue/rte" else 8551),
        )
        for task, metric in (("glue/rte", "accuracy"), ("glue/cola", "matthews"))
        for arm in ("full", "compacter")
        for size in (100, 4000)
        for seed in (1, 2)
    ]  # fmt: skip
    return comparison_of(sweep, lines)


def test_figure_4_has_a_panel_a_task_and_one_of_the_average(sizes):
    figure = size_figure(sizes)
    assert [axes.get_title() for axes in figure.axes] == ["average", "RTE", "CoLA"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "T5 (full fine-tuning)", "Compacter",
    ]  # fmt: skip
    for axes in figure.axes:
        lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
        assert [list(line.get_xdata()) for line in lines] == [[100, 4000]] * 2
        assert [list(line.get_ydata()) for line in lines] == [[54.0, 93.0]] * 2
        assert {line.get_linestyle() for line in lines} == {"-", "--"}


def test_the_band_is_a_deviation_to_either_side(sizes):
    band = size_figure(sizes).axes[1].collections[0].get_paths()[0].vertices[:, 1]
    sd = 2**0.5  # of 53 and 55, and of 92 and 94
    heights = sorted({round(float(height), 6) for height in band})
    assert heights == pytest.approx([54 - sd, 54 + sd, 93 - sd, 93 + sd], abs=1e-5)


def test_a_capped_point_is_hollow(sizes):
    figure = size_figure(sizes)
    faces = {
        axes.get_title(): [
            line.get_markerfacecolor() for line in axes.lines if len(line.get_xdata()) == 1
        ]
        for axes in figure.axes
    }
    assert [face == "white" for face in faces["RTE"]] == [False, True] * 2
    assert [face == "white" for face in faces["CoLA"]] == [False] * 4
    assert [face == "white" for face in faces["average"]] == [False, True] * 2


def test_the_caption_and_the_legend_of_one_task_are_within_the_figure(make_sweep, make_line):
    axis = {"key": "data.max_train_samples", "values": [100, 4000]}
    arms = [{"name": "full"}, {"name": "compacter", "title": "A long title of an arm " * 6}]
    sweep = make_sweep(seeds=[1, 2], axis=axis, arms=arms)
    lines = [
        make_line("glue/rte", "full", {"accuracy": 60.0}, axis=size, seed=seed, train_rows=2490)
        for size in (100, 4000)
        for seed in (1, 2)
    ]
    figure = size_figure(comparison_of(sweep, lines))
    caption = next(text for text in figure.texts if "hollow" in text.get_text())
    legend = figure.legends[0]
    for part in (caption, legend):
        box = part.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
    assert "A long title of an arm A" in legend.get_texts()[1].get_text()


TITLE = r"costs $5 \frac$ and $x$"


@pytest.fixture
def titled(make_sweep, make_line):
    """A sweep that is entitled, as its arm is, with what matplotlib would take for a formula."""

    def make(title, **changes):
        arms = [{"name": "full", "title": title}, {"name": "compacter"}]
        sweep = make_sweep(title=title, arms=arms, **changes)
        value = 100 if sweep.axis else None
        lines = [make_line("glue/rte", "full", {"accuracy": 60.0}, axis=value)]
        return comparison_of(sweep, lines)

    return make


def test_no_text_is_a_formula(titled):
    from matplotlib.text import Text

    comparison = titled(TITLE)
    axis = {"key": "data.max_train_samples", "values": [100]}
    for figure in (
        trained_figure(comparison),
        time_figure(comparison),
        size_figure(titled(TITLE, axis=axis)),
    ):
        assert png_bytes(figure)
        with_dollar = [text for text in figure.findobj(Text) if "$" in text.get_text()]
        assert with_dollar
        assert not any(text.get_parse_math() for text in with_dollar)


def test_letters_that_the_font_lacks_are_named_and_no_warning(titled):
    figure = time_figure(titled("中文 of 中 Ä"))
    assert svg_text(figure)  # a warning would be an error here
    assert missing_letters([figure]) == "中文"
    assert missing_letters([time_figure(titled("plain, Ä ± Δ"))]) == ""


def test_a_long_title_is_wrapped_and_cut():
    assert wrapped("a b", 2, 10) == "a b"
    lines = wrapped("word " * 200, 2, 10).splitlines()  # 26 letters of 5.5 points in 144
    assert len(lines) == 3
    assert all(len(line) <= 26 for line in lines)
    assert lines[-1].endswith("…")


def test_an_axis_that_is_no_number_has_no_figure(make_sweep, make_line):
    sweep = make_sweep(axis={"key": "method.train_output_layer", "values": [False, True]})
    line = make_line("glue/rte", "full", {"accuracy": 60.0}, axis=False)
    assert size_figure(comparison_of(sweep, [line])) is None


def test_files_are_png_and_svg_and_the_same_each_time(sizes):
    figures = [size_figure(sizes) for _ in range(2)]
    assert png_bytes(figures[0]).startswith(b"\x89PNG")
    first, second = map(svg_text, figures)
    assert first == second
    assert "<svg" in first
    assert "dc:date" not in first


def test_an_inline_svg_has_ids_of_its_own(sizes):
    text = inline_svg(size_figure(sizes), "figure4", 'a "title"')
    assert text.startswith('<svg role="img" aria-label="a &quot;title&quot;"')
    assert 'id="axes' not in text
    assert 'id="figure4-axes_1"' in text
    assert 'href="#m' not in text
    assert "url(#p" not in text


def test_lines_are_told_apart_without_colour():
    looks = [look_of(index) for index in range(6)]
    assert len({look.marker for look in looks}) == len({str(look.line) for look in looks}) == 6
    assert look_of(6) == look_of(0)
