"""Sweeps: one problem at many values of its parameters, in theory and simulation.

`ts.sweep` is the verb (`sweep.py`).  What is swept are axes (`axes.py`), whose combinations are
points (`points.py`), each a problem with a start.  Points that are still to be computed are put
into jobs (`jobs.py`), which run in this process or on the workers of Dask (`workers.py`); what each
job answers is kept at once (`store.py`), and at the end all of it becomes datasets with the swept
dimensions (`gather.py`).
"""
