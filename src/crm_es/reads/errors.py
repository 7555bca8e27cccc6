"""What a read refuses, besides `InvalidInputError` (BAD_USER_INPUT). The API shell maps these to `extensions.code`."""

from crm_es.errors import ConfigurationError, CrmError, UnavailableError


class BadCursorError(CrmError):
    """A cursor we did not give out for this field, order, moment and workspace. Code BAD_CURSOR."""

    rule = "cursor.bad"

    def __init__(self) -> None:
        super().__init__(
            "This cursor does not belong to this list, order, asOf and workspace. Start again without after and before."
        )


class AsOfOutOfRangeError(CrmError):
    """An argument names a moment or position that has not been. Code AS_OF_OUT_OF_RANGE."""

    rule = "as_of.out_of_range"


class NotYetProjectedError(UnavailableError):
    """The read models do not reach that far yet. Code NOT_YET_PROJECTED."""

    rule = "as_of.not_yet_projected"

    def __init__(self, *, wanted: int, reached: int) -> None:
        super().__init__(f"Position {wanted} is not shown yet, only those up to {reached}. Try again in a moment.")
        self.wanted = wanted
        self.reached = reached


class ReadTimeoutError(UnavailableError):
    """The statement took longer than a read may. Code TIMEOUT."""

    rule = "read.timeout"

    def __init__(
        self, message: str = "This took longer than a read may. Ask for a narrower filter or a smaller page."
    ) -> None:
        super().__init__(message)


class NotReadError(ReadTimeoutError):
    """Another statement of the operation took too long, and its one moment ended with it. Code TIMEOUT."""

    rule = "read.not_read"

    def __init__(self) -> None:
        super().__init__("Another part of this operation took longer than a read may; this was not read any more.")


class ContradictedError(CrmError):
    """What is stored is not what was signed. Code INTERNAL, and no secret: whoever reads proofs must hear it."""

    rule = "log.contradicted"

    def __init__(self, position: int) -> None:
        super().__init__(
            f"What is stored of position {position}, or of the tree above it, is not what was signed. Nothing can be proved of "
            "it here; `crm-es verify` says what was altered."
        )


class DeclarationError(ConfigurationError):
    """Declared reads and the tables they stand on do not agree; found when the process starts."""

    rule = "reads.declaration"

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__(
            "The declared reads do not fit the read models:\n" + "\n".join(f"  {fault}" for fault in faults)
        )
        self.faults = faults


class NotCompilableError(CrmError):
    """A document, or a part of it, that has no plan; the generic executor answers it. `message` is the reason."""

    rule = "reads.not_compilable"
