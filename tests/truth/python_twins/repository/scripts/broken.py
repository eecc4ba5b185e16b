from first.main import run


def before():
    return run()


def broken(:
    return before(


def after():
    return before()
