"""Checks of what users give: names and types of arguments, numbers, and classes of their own."""
