"""Theory: closed differential equations for the order parameters of online learning.

Part of the distribution `teacherstudent`; users call `teacherstudent.integrate` and
`teacherstudent.solve`.
"""
