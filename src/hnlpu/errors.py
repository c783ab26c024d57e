"""What can go wrong, one type per kind of mistake.

Every error is raised where the fact is known, its text is one line that names
the thing and says what to do.  A parameter that helps is named in backquotes, as in
"choose another with `output`".  `hnlpu.cli` catches `HnlpuError` once, makes options of
such names, prints the line and ends with exit code 2.
"""


class HnlpuError(Exception):
    """Base of every error that a user's input can cause."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


class CheckpointNotFound(HnlpuError):
    """There is no checkpoint at this path or Hub id."""


class UnsupportedArchitecture(HnlpuError):
    """The checkpoint is of a kind that hnlpu cannot hardwire."""


class InvalidConfig(HnlpuError):
    """config.json is missing a value, or holds one that makes no sense."""


class MalformedNetwork(HnlpuError):
    """A network breaks a rule of the form; `rule` is the rule's name."""

    def __init__(self, rule: str, message: str):
        super().__init__(message)
        self.rule = rule


class DamagedCheckpoint(HnlpuError):
    """A checkpoint file cannot be read as what it claims to be."""


class TensorMismatch(HnlpuError):
    """A tensor is missing, unexpected, or has the wrong shape or dtype."""


class NotFinite(HnlpuError):
    """A weight or an activation is NaN or infinite."""


class ExponentSpread(HnlpuError):
    """Block exponents of one row lie further apart than the technology allows."""


class LossTooHigh(HnlpuError):
    """A build loses more of a model than was allowed."""


class OutputExists(HnlpuError):
    """The output path holds something that hnlpu must not overwrite."""


class BuildInProgress(HnlpuError):
    """Another process is building into the same directory."""


class OutputFailed(HnlpuError):
    """The operating system refused to write (disk full, no permission)."""


class NotABuild(HnlpuError):
    """The path is not a build directory."""


class DamagedBuild(HnlpuError):
    """A file of a build is missing, altered or unreadable."""


class TokenizerMissing(HnlpuError):
    """Text was given or asked for, but the model has no usable tokenizer."""


class InvalidInput(HnlpuError):
    """An option or argument is outside of what it may be."""


class ContextExceeded(InvalidInput):
    """A prompt and what is asked for after it are longer than the context."""


class InvalidData(HnlpuError):
    """A data file (technology, system, model) is malformed or holds what makes no sense."""


class DamagedMasks(HnlpuError):
    """A mask file cannot be read as what it claims to be, or belongs to another build."""


class DamagedChips(HnlpuError):
    """A folder of chips in SystemVerilog is not as it was written, or belongs to another build."""


class DoesNotFit(HnlpuError):
    """The weights or shapes asked for do not fit the array, the die or the technology."""


class ToolMissing(HnlpuError):
    """A third-party tool that a command asks for is not installed."""


class ToolFailed(HnlpuError):
    """A third-party tool ended with an error, or ran out of the time that it was given."""


class LinkFailed(HnlpuError):
    """A simulated machine of several chips says that a link between two of them failed, and which."""


class QueueFull(HnlpuError):
    """The engine has as many requests waiting as it may hold; try again later."""


class NotServing(HnlpuError):
    """The server is shutting down and takes no more requests."""


class EngineFault(HnlpuError):
    """A fault of the engine's own, told to whoever waited for it."""


class DamagedAdapter(HnlpuError):
    """An adapter cannot be read as what it claims to be, or does not fit the model."""
