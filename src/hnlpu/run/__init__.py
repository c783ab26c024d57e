"""The same integers on this computer: kernels, the emulator, and the engine that batches.

kernels ─► emulate ─► engine
"""
