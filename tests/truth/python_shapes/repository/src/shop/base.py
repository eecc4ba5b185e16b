"""Base classes: generic, abstract, with a context and an iterator."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """No more."""


class Entity(ABC):
    counter = 0

    def __init__(self, key: str) -> None:
        self.key = key
        self.check()

    def check(self) -> None:
        if not self.key:
            raise Closed

    @abstractmethod
    def describe(self) -> str: ...

    def __repr__(self) -> str:
        return self.describe()


class Store(Generic[T]):
    def __init__(self) -> None:
        self.rows: list[T] = []

    def __enter__(self) -> "Store[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> T:
        return self.rows[place]

    def add(self, row: T) -> T:
        self.rows.append(row)
        return row

    def close(self) -> None:
        self.rows.clear()
