"""The reasons why a model cannot be built. The messages are for the person who asked for it."""


class BuildError(Exception):
    """A model cannot be built."""


class MissingWeightsError(BuildError):
    """The weights are not installed, or cannot be fetched. The message says how to get them."""


class WeightsFileError(BuildError, ValueError):
    """The file is not a legacy PyTorch state dictionary, or contains more than it should."""


class NotCalibratedError(BuildError):
    """The model has no activation ranges, so it cannot be built as int8. The message says how to create them."""


class AddError(BuildError):
    """A model cannot be added. The message tells the person who adds it what to do."""
