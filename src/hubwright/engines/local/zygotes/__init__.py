"""Fork servers of shared environments: kernels that find what their environment's `preload` names imported.

`keeper` is a program of Hubwright's own Python, as root: it starts a zygote for each environment, and answers users'
servers. `program` is a zygote, in the environment's Python: what it imports from here needs the standard library,
ipykernel, and Python 3.9. `asking` is how a user's server asks for a kernel.
"""
