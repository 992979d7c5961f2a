"""Why a model cannot be built. The messages are for the person who asked for it."""


class BuildError(Exception):
    """A model cannot be built."""


class MissingWeightsError(BuildError):
    """The weights are not installed, or cannot be fetched; the message says how to get them."""


class WeightsFileError(BuildError, ValueError):
    """The file is not a legacy PyTorch state dictionary, or holds more than one should."""


class NotCalibratedError(BuildError):
    """The model has no activation ranges, so it cannot be built as int8; the message says how to make them."""


class AddError(BuildError):
    """A model cannot be added; the message is one sentence for the person who brings it."""
