"""Kernels for what is measurably hot: one folder per op, each a plain-torch reference with a CPU and a CUDA kernel.

An op is a ``torch.library.custom_op``. Its body is the reference; ``cpu.py`` (numba) and ``cuda.py`` (Triton) hold
functions of the same name, imported at the first call on such a device. There is no switch between them: a test
compares them by ``op.set_kernel_enabled("cpu", False)``.
"""
