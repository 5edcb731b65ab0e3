"""Classes of a user's own: what they change of ours, and whether they keep their contracts.

`own_classes.py` says which theory, closed form or sampler a changed class loses;
`contract_checks.py` looks at what its methods answer before any long work.
"""
