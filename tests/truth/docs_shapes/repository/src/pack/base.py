class Base:
    def halt(self):
        """Stop at once, as :class:`~pack.Engine` does."""
