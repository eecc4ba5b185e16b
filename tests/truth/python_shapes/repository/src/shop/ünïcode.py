"""Names and columns beyond ASCII."""

from shop.money import Money as Geld


def größe(wert): return "😀" + str(wert)


def café(): x = "日本語😀"; y = größe(x); return Geld(len(y))


class Größe: a = "😀😀"; b = größe("é")
