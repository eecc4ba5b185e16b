from util import shared


def run():
    return shared()
