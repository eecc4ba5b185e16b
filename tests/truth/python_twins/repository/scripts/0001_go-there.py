import importlib

from first.main import run
from first.util import own as first_own
from second import util


def go():
    first_own()
    return run() + util.own()


if True:
    def pick():
        return go()
else:
    def pick():
        return None

pick()
