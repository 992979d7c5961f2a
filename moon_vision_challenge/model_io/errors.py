"""Errors in a declaration or in an answer. The messages are for the person who declares the model."""


class DeclarationError(ValueError):
    """The declaration contradicts itself, the model, or a file that it names."""

    def __init__(self, problem: str, line: str = "", *, missing: str = "") -> None:
        """`line` is the line to write, or a sentence that says what to do. `missing` is the undeclared attribute."""
        self.problem, self.line, self.missing = problem, line, missing
        super().__init__(f"{problem} {line}".strip())


class AnswerError(ValueError):
    """The answer of the model cannot be read as declared."""
