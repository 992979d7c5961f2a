"""What is wrong with a declaration or with an answer. The messages are for the person who declares the model."""


class DeclarationError(ValueError):
    """The declaration contradicts itself, the model, or a file that it names."""

    def __init__(self, problem: str, line: str = "") -> None:
        """`line` is the line to write, or a sentence that says what to do."""
        self.problem, self.line = problem, line
        super().__init__(f"{problem} {line}".strip())


class AnswerError(ValueError):
    """The model returned something that cannot be read as the declaration says."""
