"""Declares and checks what a route requires of its caller."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

from moon_vision_challenge.accounts.caller import Caller, Scope
from moon_vision_challenge.accounts.errors import InsufficientScopeError, MissingRuleError, MissingTokenError


class Access(Enum):
    """The rules that are not scopes."""

    PUBLIC = "public"
    """Anyone may use the route, and the caller is not identified."""
    OWN_LOGIN = "own login"
    """The admin, whose views require a session themselves."""
    ANY_CALLER = "any caller"
    """Any caller with a token, and any other caller if API_ALLOW_ANONYMOUS is set."""


Rule = Access | Scope
PUBLIC, OWN_LOGIN, ANY_CALLER = Access
View = TypeVar("View", bound=Callable[..., Any])


def access(rule: Rule) -> Callable[[View], View]:
    """Declare the rule of a function view."""

    def declare(view: View) -> View:
        view.access = rule  # type: ignore[attr-defined]
        return view

    return declare


def rule_of(view: Callable[..., Any], method: str) -> Rule:
    """Return the rule of a view for an HTTP method.

    Raises:
        MissingRuleError: the view declares no rule for this method.
    """
    declared = getattr(view, "access", None) or getattr(getattr(view, "cls", None), "access", None)
    if isinstance(declared, Mapping):
        return _rule_of_viewset(view, declared, method.lower())
    if not isinstance(declared, Rule):
        raise MissingRuleError(f"{view.__module__}.{view.__qualname__}")
    return declared


def check_access(rule: Rule, caller: Caller) -> None:
    """Refuse a caller who may not use a route.

    Raises:
        MissingTokenError: the route needs a token.
        InsufficientScopeError: the token does not have the scope.
    """
    if rule in {PUBLIC, OWN_LOGIN}:
        return
    if caller.is_anonymous and not caller.scopes:
        raise MissingTokenError
    if rule is not ANY_CALLER and rule not in caller.scopes:
        raise MissingTokenError if caller.is_anonymous else InsufficientScopeError(str(rule.value))


def _rule_of_viewset(view: Any, declared: Mapping[str, Rule], method: str) -> Rule:
    actions: Mapping[str, str] = view.actions
    action = actions.get("get" if method == "head" else method)
    if action is None:  # OPTIONS describes the route, and any other method gets 405
        return ANY_CALLER
    if action not in declared:
        raise MissingRuleError(f"{view.cls.__qualname__}.{action}")
    return declared[action]
