"""The emulator's arithmetic as Triton kernels, which its interpreter also runs on a CPU.

torch and triton are the extra `hnlpu[gpu]`; nothing imports this folder but
those who ask for a device.
"""

from hnlpu.run.kernels.gpu._attention import Places, attend
from hnlpu.run.kernels.gpu._lower import Lowered, NotOnDevice, Surroundings, lower
from hnlpu.run.kernels.gpu._network import GpuNetwork, Inputs, Outputs
from hnlpu.run.kernels.gpu._project import (
    GpuStack,
    Integers,
    Meeting,
    SpreadTooWide,
    gpu_project,
    meet_experts,
    meet_one,
)
from hnlpu.run.kernels.gpu._steps import Recording, Steps

__all__ = [
    "GpuNetwork",
    "GpuStack",
    "Inputs",
    "Integers",
    "Lowered",
    "Meeting",
    "NotOnDevice",
    "Outputs",
    "Places",
    "Recording",
    "SpreadTooWide",
    "Steps",
    "Surroundings",
    "attend",
    "gpu_project",
    "lower",
    "meet_experts",
    "meet_one",
]
