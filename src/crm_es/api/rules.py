"""Who may see a field. What has no rule is refused when the schema is made, so nothing is public by forgetting.

Three kinds: everybody who is signed in; whoever may read the record it hangs on; or a permission. Read types carry
theirs in their declaration (`entity`), and SQL enforces it row by row; root fields and the rest say it here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final, TypeVar

from strawberry.extensions import FieldExtension
from strawberry.types import Info

from crm_es.errors import NotAllowedError
from crm_es.workspaces.actions import Action, EntityType

C = TypeVar("C", bound=type)


@dataclass(frozen=True, slots=True)
class Rule:
    """`why` is for the reader of the table; `needs` the permission it takes, if it takes one of its own."""

    why: str
    needs: tuple[EntityType, Action] | None = None


_PAGES: Final = "crm_es.reads.connections"  # connections and edges, made for each type
SIGNED_IN: Final = Rule("whoever is signed in")
PARENT: Final = Rule("whoever may read the record it hangs on")


def needs(type_: EntityType, action: Action) -> Rule:
    return Rule(f"{action} on {type_}", (type_, action))


def ruled(rule: Rule) -> Callable[[C], C]:
    """Put a rule on all fields of a type, above `@strawberry.type`."""

    def put(cls: C) -> C:
        cls.__rule__ = rule  # type: ignore[attr-defined]  # read by `rule_of`
        return cls

    return put


class Guard(FieldExtension):
    """The rule of a root field, asked before its resolver. Raises: NotAllowedError."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def apply(self, field: Any) -> None:
        field.metadata = {**field.metadata, "rule": self.rule}

    async def resolve_async(self, next_: Callable[..., Awaitable[Any]], source: Any, info: Info, **kwargs: Any) -> Any:
        if self.rule.needs is not None:
            permit(info.context, *self.rule.needs)
        answer = await next_(source, info, **kwargs)
        return await answer if isawaitable(answer) else answer  # declared fields answer with an awaitable


def guarded(field: Any, rule: Rule) -> Any:
    """A declared root field that takes more than its type's own permission."""
    field.extensions = [*field.extensions, Guard(rule)]
    return field


def permit(context: Any, type_: EntityType, action: Action) -> None:
    """Raises: NotAllowedError, when none of the actor's roles has the permission at any scope."""
    if context.permissions.scope(type_, action) is None:
        raise NotAllowedError(f"This takes the permission {action} on {type_}, which none of your roles has.")


def rule_of(cls: type[Any], field: Any) -> Rule | None:
    """The rule of a field of a Strawberry type; None where nobody thought of one."""
    if "rule" in field.metadata:
        found: Rule = field.metadata["rule"]
        return found
    if "read" in field.metadata:
        return _declared(field.metadata["read"], cls)
    if cls.__module__ == _PAGES:
        return PARENT
    own: Rule | None = cls.__dict__.get("__rule__")  # never inherited: a new type says it anew
    return own


def _declared(declared: Any, cls: type[Any]) -> Rule:
    """A declared field: as the record it leads to, or as the one it is of."""
    target = getattr(declared, "target", None)
    read = getattr(target() if target else cls, "__read__", None)
    entity = getattr(read, "entity", None)
    return needs(EntityType(entity), Action.READ) if entity else PARENT
