"""ONNX: a user's own network in one file -> a `Network` of signals and its tensors.

model.onnx ─► graph of operators ─► steps, each operator by its name or refused by it
           └► initializers       ─► matrices and parameters

A graph is what happens at one position.  What it keeps goes out under one name and comes in under another;
`hnlpu.states` in the file's metadata pairs them (``h=h_out,c=c_out``), else the names NAME and NAME_out do.
`hnlpu.task` says what is answered (else `stream`).
"""

from hnlpu.model.checkpoint.onnx._file import OnnxModel, open_onnx

__all__ = ["OnnxModel", "open_onnx"]
