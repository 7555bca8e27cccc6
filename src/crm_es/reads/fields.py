"""The Strawberry side of a declared field: it has no resolver function, its declaration answers."""

from collections.abc import Callable
from itertools import count
from typing import Any, Union

from strawberry.types.field import StrawberryField
from strawberry.types.info import Info
from strawberry.types.lazy_type import LazyType

from crm_es.reads import resolve
from crm_es.reads.model import Value

_NUMBERS = count()


class Later(LazyType[Any, Any]):
    """A type named by a function, since it may be declared further down or in a module that imports this one."""

    def __init__(self, target: Callable[[], Any]) -> None:
        super().__init__(type_name="Later", module=f"later-{next(_NUMBERS)}")
        object.__setattr__(self, "target", target)

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007  # `|` is what we define

    def resolve_type(self) -> type[Any]:
        """Raises: NameError while it is not declared yet; Strawberry then asks again when the schema is made."""
        target: Callable[[], type[Any]] = self.target  # type: ignore[attr-defined]  # set past the frozen dataclass
        try:
            return target()
        except AttributeError as exc:
            raise NameError(str(exc)) from exc


class ReadField(StrawberryField):
    """A field whose `metadata["read"]` says how it is read."""

    @property
    def is_basic_field(self) -> bool:
        """Basic fields are answered without arguments and context, straight from the record's row."""
        declared = self.metadata["read"]
        return isinstance(declared, Value) and not (declared.arguments or declared.lazy or self.extensions)

    def get_result(self, source: Any, info: Info | None, args: list[Any], kwargs: Any) -> Any:
        answer = self.__dict__.get("answer")
        if answer is None:
            answer = self.__dict__["answer"] = resolve.answerer(self, source)
        return answer(source, info, kwargs)
