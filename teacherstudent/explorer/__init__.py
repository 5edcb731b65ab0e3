"""A page in the browser on which a problem is changed by hand and its theory follows at once.

What is computed and written (`controls`, `state`, `curves`, `live`, `networks`, `result_files`,
`toml_text`, `python_text`, `exports`) knows nothing of the page (`page`, `charts`), which is the
only part that imports Panel and Bokeh, with the server (`server`, `guard`).
"""
