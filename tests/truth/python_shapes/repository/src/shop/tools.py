"""Decorators, closures, functions as values, async."""

import functools


def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        note(function.__name__)
        return function(*args)

    return wrapper


def retried(times):
    def decorate(function):
        return function

    return decorate


def note(text):
    return text


def apply(function, value):
    return function(value)


def twice(value):
    return apply(note, apply(note, value))


@logged
def plain(value):
    return value


@retried(3)
def patient(value):
    if value > 0:
        return patient(value - 1)
    return plain(value)


async def fetch(name):
    return note(name)


async def fetch_all(names):
    async def one(name):
        return await fetch(name)

    return [await one(name) for name in names]


HANDLERS = {"note": note, "plain": plain}


def dispatch(kind, value):
    return HANDLERS[kind](value)


def chosen(kind):
    if kind:
        return note
    return plain


def through_choice(kind, value):
    return chosen(kind)(value)


key = lambda value: note(value)
