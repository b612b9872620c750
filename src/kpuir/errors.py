"""The errors kpuir reports to its users, each with the exit status it stands for.

Every error is one message that names the layer, says what is wrong with both values, and hints at what to do.
Anything else that escapes is an internal error (exit status 70).
"""

from collections.abc import Sequence


class KpuirError(Exception):
    """Base of all user-facing errors.

    `location` is the user's layer (or file) the error is about, `hint` what to do about it.
    """

    exit_status = 1

    def __init__(self, message: str, *, location: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.location = location
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.location}: {self.message}" if self.location else self.message
        return f"{text}\nhint: {self.hint}" if self.hint else text


class InvalidInputError(KpuirError):
    """The model, kmodel, dataset or input array is rejected."""


class UnsupportedError(InvalidInputError):
    """Layers of the model cannot be expressed, or not where they must be; all of them are reported together.

    `problems` holds one (layer, reason) pair each; `what` is true of all these layers.
    """

    def __init__(
        self, problems: Sequence[tuple[str, str]], *, what: str = "are not supported", hint: str | None = None
    ) -> None:
        self.problems = tuple(problems)
        lines = [f"{layer}: {reason}" for layer, reason in self.problems]
        count = f"{len(lines)} layers {what}:\n  " if len(lines) > 1 else ""
        super().__init__(count + "\n  ".join(lines), hint=hint)


class UsageError(KpuirError):
    """The command line or an option is wrong."""

    exit_status = 2


class DoesNotFitError(KpuirError):
    """The model does not fit the chip."""

    exit_status = 3


class CheckFailedError(KpuirError):
    """A check or a threshold the user asked for failed."""

    exit_status = 4
