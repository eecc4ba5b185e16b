def shared():
    return own()


def own():
    return "second"
