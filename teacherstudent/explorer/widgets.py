"""A widget of Panel for each control."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import panel as pn

from teacherstudent.explorer.controls import Choice, Control, Number, Steps, Switch, Whole

STRETCH = {"sizing_mode": "stretch_width", "margin": (2, 8)}


@singledispatch
def widget_of(control: Control) -> Any:
    """The widget of a control."""
    raise TypeError(f"there is no widget for {control}.")


@widget_of.register
def widget_of_choice(control: Choice) -> Any:
    """A list to choose from."""
    options = list(control.options)
    return pn.widgets.Select(label=control.label, options=options, value=control.default, **STRETCH)


@widget_of.register
def widget_of_steps(control: Steps) -> Any:
    """A slider over values that are not equally spaced."""
    options = list(control.options)
    return pn.widgets.DiscreteSlider(
        label=control.label, options=options, value=control.default, **STRETCH
    )


@widget_of.register
def widget_of_number(control: Number) -> Any:
    """A slider with a box for other numbers."""
    return pn.widgets.EditableFloatSlider(
        label=control.label,
        start=control.low,
        end=control.high,
        step=control.step,
        value=control.default,
        format="0.[0000]",
        **STRETCH,
    )


@widget_of.register
def widget_of_whole(control: Whole) -> Any:
    """A slider over whole numbers."""
    return pn.widgets.IntSlider(
        label=control.label, start=control.low, end=control.high, value=control.default, **STRETCH
    )


@widget_of.register
def widget_of_switch(control: Switch) -> Any:
    """A box to tick."""
    return pn.widgets.Checkbox(label=control.label, value=control.default, **STRETCH)


def set_value(widget: Any, value: Any) -> None:
    """Set a widget from outside; a value that it does not offer is added to what it offers."""
    options = getattr(widget, "options", None)
    if options is not None and value not in options:
        numbers = all(isinstance(one, int | float) for one in [*options, value])
        widget.options = sorted([*options, value]) if numbers else [*options, value]
    if options is None and hasattr(widget, "end") and widget.end is not None:
        widget.end = max(widget.end, value)
        widget.start = min(widget.start, value)
    widget.value = value
