from pack.base import Base


class Engine(Base):
    """Packs by :func:`pack.tools.measure`; see `Box.close` and ``src/pack/tools.py``."""

    def __init__(self, size):
        self.size = size

    def start(self):
        """Begin, until :meth:`close` or :meth:`halt`. Never calls ``start()`` again."""

    def close(self):
        """End it.

        The ``size`` is kept.
        """
