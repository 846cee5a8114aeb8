"""Families of plug-ins: a variant is one file, its name is written once, and it is found by discovery."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from demix_core.errors import InputError

V = TypeVar("V")


class Family(Generic[V]):
    """The variants of one kind, by name, in the order of registration.

    >>> colours = Family[str]("colour", package=None)
    >>> colours.register("red")("#f00")
    '#f00'
    >>> colours["red"], list(colours)
    ('#f00', ['red'])
    """

    def __init__(self, noun: str, package: str | None) -> None:
        self.noun = noun
        self._package = package
        self._variants: dict[str, V] = {}
        self._discovered = package is None

    def register(self, name: str) -> Callable[[V], V]:
        """Decorator that puts a variant under its name."""

        def keep(variant: V) -> V:
            self._variants[name] = variant
            return variant

        return keep

    def __getitem__(self, name: str) -> V:
        self._discover()
        try:
            return self._variants[name]
        except KeyError:
            known = ", ".join(self._variants)
            raise InputError(f"There is no {self.noun} called '{name}'; choose one of {known}.") from None

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(tuple(self._variants))

    def items(self) -> tuple[tuple[str, V], ...]:
        """All (name, variant) pairs."""
        self._discover()
        return tuple(self._variants.items())

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        package = importlib.import_module(str(self._package))
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
