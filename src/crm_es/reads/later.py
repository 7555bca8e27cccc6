"""Types that are named before they are declared."""

from collections.abc import Callable
from itertools import count
from typing import Any, Union

from strawberry.types.lazy_type import LazyType

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
