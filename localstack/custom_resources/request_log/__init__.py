"""A log of the calls that LocalStack serves, to compare them with what a role may do.

    plugins    what LocalStack finds through the entry points
    calls      a line for each call (no input or output)
"""
