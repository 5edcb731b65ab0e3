"""Running a simulation, whatever it keeps of the networks: the loop, records, checkpoints, devices,
hosts.
"""
