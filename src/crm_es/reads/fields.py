"""The Strawberry side of a declared field: it has no resolver function, its declaration answers."""

from typing import Any

from strawberry.types.field import StrawberryField
from strawberry.types.info import Info

from crm_es.eventstore.event import camel
from crm_es.reads import resolve
from crm_es.reads.model import Value


class ReadField(StrawberryField):
    """A field whose `metadata["read"]` says how it is read."""

    @property
    def is_basic_field(self) -> bool:
        """Basic fields are answered without arguments and context, straight from the record's row."""
        declared = self.metadata["read"]
        return isinstance(declared, Value) and not (
            declared.arguments or declared.lazy or declared.beside or self.extensions
        )

    @property
    def api_name(self) -> str:
        return self.graphql_name or camel(self.python_name)

    def get_result(self, source: Any, info: Info | None, args: list[Any], kwargs: Any) -> Any:  # noqa: ARG002
        """Fields of an interface are shared by its types, so the answer is worked out per type of record."""
        answers: dict[type[Any], resolve.Answer] = self.__dict__.setdefault("answers", {})
        answer = answers.get(type(source))
        if answer is None:
            answer = answers[type(source)] = resolve.answering(
                self.metadata["read"], self.api_name, getattr(type(source), "__read__", None)
            )
        return answer(source, info, kwargs)
